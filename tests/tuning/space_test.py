"""The hyperparameters of a density."""

import keras_tuner as kt
import pytest

from keras_wconv import WeightedConv1D, WeightedConv2D, tuning
from keras_wconv._density_choice import DensityChoice


def ranges_of(hp):
    return {h.name: (h.min_value, h.max_value) for h in hp.space}


@pytest.mark.parametrize(
    "kernel_size, published",
    [
        (3, [(0.5, 1.5)]),
        (5, [(0.05, 1.0), (0.5, 1.5)]),
        (7, [(0.05, 0.5), (0.15, 1.0), (0.25, 1.5)]),
    ],
)
def test_published_ranges(kernel_size, published):
    hp = kt.HyperParameters()
    coefficients = tuning.density(hp, kernel_size)
    assert list(ranges_of(hp).values()) == published
    # The standard convolution, as near as the ranges come to it.
    assert coefficients == [min(1.0, high) for _, high in published]
    layer = WeightedConv2D(1, kernel_size, density=coefficients)
    assert layer.density_map.shape == (kernel_size, kernel_size)


def test_even_kernels_have_the_ranges_of_as_many_coefficients():
    hp = kt.HyperParameters()
    tuning.density(hp, 6)
    assert ranges_of(hp) == {"density_6_1": (0.05, 1.0), "density_6_2": (0.5, 1.5)}


def test_tuple_has_a_profile_for_each_axis():
    hp = kt.HyperParameters()
    density = tuning.density(hp, (1, 5))
    assert density == [[], [1.0, 1.0]]
    assert list(ranges_of(hp)) == ["density_axis1_5_1", "density_axis1_5_2"]
    assert WeightedConv2D(1, (1, 5), density=density).density_map.shape == (1, 5)


def test_kernel_sizes_and_stages_do_not_share_hyperparameters():
    hp = kt.HyperParameters()
    by_size = {size: tuning.density(hp, size) for size in (3, 5)}
    tuning.density(hp, 3, name="stage2")
    assert list(hp.values) == [
        "density_3_1",
        "density_5_1",
        "density_5_2",
        "stage2_3_1",
    ]
    choice = DensityChoice(by_size)
    assert choice("conv", (5, 5)).coefficients == (1.0, 1.0)


def test_one_name_is_one_density():
    hp = kt.HyperParameters()
    tuning.density(hp, 3)
    hp.values["density_3_1"] = 0.7
    assert tuning.density(hp, 3) == [0.7]


def test_given_ranges():
    hp = kt.HyperParameters()
    tuning.density(hp, 9, ranges=[(0.0, 1.0)] * 4)
    assert list(ranges_of(hp).values()) == [(0.0, 1.0)] * 4
    tuning.density(hp, (3, 5), "axes", ranges=[[(0, 2)], [(0, 1), (1, 2)]])
    assert ranges_of(hp)["axes_axis1_5_2"] == (1.0, 2.0)


def test_causal_kernels_have_a_coefficient_for_each_past_tap():
    hp = kt.HyperParameters()
    density = tuning.density(hp, 3, causal=True, ranges=[(0, 1), (0.5, 1.5)])
    layer = WeightedConv1D(1, 3, padding="causal", density=density)
    assert layer.density_map.tolist() == [1.0, 1.0, 1.0]


def test_bad_arguments():
    hp = kt.HyperParameters()
    for kernel_size in (1, 2, (1, 1)):
        with pytest.raises(ValueError, match="`kernel_size` must have taps beside"):
            tuning.density(hp, kernel_size)
    with pytest.raises(ValueError, match="No ranges are published for 4 coefficients"):
        tuning.density(hp, 9)
    with pytest.raises(ValueError, match="each of the 2 coefficients of 'density_5'"):
        tuning.density(hp, 5, ranges=[(0, 1)])
    with pytest.raises(ValueError, match="a list of ranges for each axis"):
        tuning.density(hp, (3, 3), ranges=[[(0, 1)]])
    assert not hp.space
