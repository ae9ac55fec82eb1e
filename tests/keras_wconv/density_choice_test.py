"""One `density=` argument for a whole network."""

import types

import numpy as np
import pytest

from keras_wconv import densities
from keras_wconv._density_choice import DensityChoice


def chosen(choice, *sizes):
    return [(size, choice("layer", size)) for size in sizes]


def test_none_leaves_all_plain():
    choice = DensityChoice(None)
    assert choice("a", (3, 3)) is None
    choice.check_coverage(chosen(choice, (3, 3)))


def test_one_density_takes_the_kernels_that_it_fits():
    choice = DensityChoice([0.7])
    assert choice("a", (3, 3)).coefficients == (0.7,)
    assert choice("b", (7, 7)) is None
    assert choice("c", (1, 1)) is None
    assert choice("d", (2,), causal=True).coefficients == (0.7,)
    choice.check_coverage(chosen(choice, (3, 3), (7, 7), (1, 1)))


def test_by_kernel_size():
    choice = DensityChoice({3: 0.7, (1, 7): [[], [0.1, 0.2, 0.3]], 5: None})
    assert choice("a", (3, 3, 3)).coefficients == (0.7,)
    assert choice("b", (1, 7)).per_axis
    assert choice("c", (5, 5)) is None
    assert choice("d", (1, 1)) is None
    choice.check_coverage(chosen(choice, (3, 3, 3), (1, 7), (5, 5), (1, 1)))


def test_any_mapping_is_by_kernel_size():
    choice = DensityChoice(types.MappingProxyType({3: [0.7]}))
    assert choice("a", (3, 3)).coefficients == (0.7,)


def test_the_whole_kernel_size_is_preferred():
    choice = DensityChoice({3: 0.7, (3, 3): 0.5})
    assert choice("a", (3, 3)).coefficients == (0.5,)
    assert choice("b", (3,)).coefficients == (0.7,)


def test_by_function():
    choice = DensityChoice(lambda name, size: 0.7 if name == "stem" else None)
    assert choice("stem", (3, 3)).coefficients == (0.7,)
    assert choice("head", (3, 3)) is None
    choice.check_coverage([((3, 3), None)])


def test_a_class_and_a_config():
    config = densities.serialize(densities.Gaussian(2.0))
    assert DensityChoice(config)("a", (3, 3)).sigma == 2.0
    assert DensityChoice(densities.Gaussian)("a", (3, 3)).sigma is None


@pytest.mark.parametrize(
    "density", [{3: [0.2, 0.8]}, lambda name, kernel_size: [0.2, 0.8]]
)
def test_what_does_not_fit_where_it_was_named_is_refused(density):
    with pytest.raises(ValueError, match=r"Layer 'stem': .*does not fit the kernel"):
        DensityChoice(density)("stem", (3, 3))


def test_a_map_is_evaluated_once_for_each_layer():
    calls = []

    class Counted(densities.Gaussian):
        def __call__(self, kernel_size, causal=False):
            calls.append(kernel_size)
            return super().__call__(kernel_size, causal)

    choice = DensityChoice(Counted())
    choice("a", (3, 3))
    choice.check_coverage(chosen(choice, (5, 5)))
    assert calls == [(3, 3), (5, 5)]


def test_the_choice_remembers_nothing():
    choice = DensityChoice({3: 0.7})
    choice("layer", (7, 7))
    choice.check_coverage(chosen(choice, (3, 3)))


@pytest.mark.parametrize("key", ["3", 3.0, (3, "3")])
def test_keys_of_a_dict_are_kernel_sizes(key):
    assert DensityChoice({np.int64(3): 0.7})("layer", (3, 3)) is not None
    with pytest.raises(ValueError, match="must be kernel sizes"):
        DensityChoice({key: 0.7})


def test_coverage_names_the_sizes_that_a_dict_lacks():
    choice = DensityChoice({3: 0.7})
    sizes = ((3, 3), (7, 7), (1, 7), (1, 1))
    with pytest.raises(ValueError, match=r"`density` .*lacks \(1, 7\), 7\. .*: 3"):
        choice.check_coverage(chosen(choice, *sizes))


def test_coverage_finds_a_density_that_fits_no_kernel():
    choice = DensityChoice([0.2, 0.8])
    with pytest.raises(ValueError, match=r"fits no kernel .*kernels of 3"):
        choice.check_coverage(chosen(choice, (3, 3)))
