"""The hyperparameters of a density."""

import math

import keras_tuner as kt
import numpy as np
import pytest

from keras_wconv import WeightedConv1D, WeightedConv2D, densities, tuning
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


def test_kernel_sizes_and_ranges_of_numpy():
    hp = kt.HyperParameters()
    assert tuning.density(hp, np.int64(3)) == tuning.density(hp, 3) == [1.0]
    assert tuning.density(hp, np.array([3, 3])) == [[1.0], [1.0]]
    tuning.density(hp, np.int64(5), ranges=np.array([[0, 1], [0.5, 1.5]]))
    assert ranges_of(hp)["density_5_2"] == (0.5, 1.5)


def test_causal_kernels_have_a_coefficient_for_each_past_tap():
    hp = kt.HyperParameters()
    density = tuning.density(hp, 3, causal=True, ranges=[(0, 1), (0.5, 1.5)])
    layer = WeightedConv1D(1, 3, padding="causal", density=density)
    assert layer.density_map.tolist() == [1.0, 1.0, 1.0]


def test_causal_kernels_have_ranges_of_their_own():
    hp = kt.HyperParameters()
    tuning.density(hp, 3)
    tuning.density(hp, 3, causal=True)
    tuning.density(hp, (1, 3), causal=True)
    assert ranges_of(hp) == {
        "density_3_1": (0.5, 1.5),
        "density_causal_3_1": (0.05, 1.0),
        "density_causal_3_2": (0.5, 1.5),
        "density_causal_axis1_3_1": (0.05, 1.0),
        "density_causal_axis1_3_2": (0.5, 1.5),
    }


@pytest.mark.parametrize("kernel_size", [8, 9, 15, 33, 65, (15, 15)])
def test_large_kernels_have_a_width(kernel_size):
    hp = kt.HyperParameters()
    found = tuning.density(hp, kernel_size)
    [sigma] = hp.space
    size = max(np.atleast_1d(kernel_size))
    assert (sigma.min_value, sigma.max_value) == (0.5, size)
    assert (sigma.sampling, sigma.name) == ("log", f"density_{size}_sigma")
    assert found.sigma == sigma.default == np.clip(size / 8, 1, 4)
    # All but flat at the upper end: the standard convolution, once it is normalized.
    assert densities.Gaussian(sigma.max_value)((size,)).min() > 0.88
    layer = WeightedConv2D(1, kernel_size, density=found)
    default = WeightedConv2D(1, kernel_size, density="gaussian")
    np.testing.assert_array_equal(layer.density_map, default.density_map)


def test_a_width_for_each_axis():
    hp = kt.HyperParameters()
    found = tuning.density(hp, (1, 9, 33), "stage2", per_axis=True)
    assert ranges_of(hp) == {
        "stage2_axis1_9_sigma": (0.5, 9.0),
        "stage2_axis2_33_sigma": (0.5, 33.0),
    }
    assert found.sigma == [1.0, 1.125, 4.0]
    assert found((1, 9, 33)).shape == (1, 9, 33)
    tuning.density(hp, (9, 33), "one")
    assert "one_9x33_sigma" in ranges_of(hp)


def test_the_family_may_be_chosen():
    hp = kt.HyperParameters()
    tuning.density(hp, 3, family="gaussian", ranges=(1, 2))
    assert ranges_of(hp) == {"density_3_sigma": (1.0, 2.0)}
    published = tuning.density(hp, 7, family="coefficients")
    assert published == tuning.density(hp, 7)


def test_causal_kernels_look_back_twice_as_far():
    hp = kt.HyperParameters()
    found = tuning.density(hp, 8, causal=True)
    assert ranges_of(hp) == {"density_causal_8_sigma": (0.5, 16.0)}
    layer = WeightedConv1D(1, 8, padding="causal", density=found)
    # Sigma is a quarter of the 8 taps.
    expected = np.exp(-0.5 * (np.arange(8)[::-1] / 2) ** 2)
    np.testing.assert_allclose(layer.density_profiles[0], expected, rtol=1e-12)
    assert tuning.density(hp, 3, causal=True) == [1.0, 1.0]  # as published for two


def test_direct_l_begins_in_the_middle_of_the_logarithmic_range(tmp_path):
    hp = kt.HyperParameters()
    tuning.density(hp, 32)
    oracle = tuning.DirectLOracle("val_loss", max_trials=3, hyperparameters=hp)
    oracle._set_project_dir(tmp_path, "search")
    first = oracle.create_trial("tuner").hyperparameters
    assert first["density_32_sigma"] == pytest.approx(math.sqrt(0.5 * 32))


def test_bad_arguments():
    hp = kt.HyperParameters()
    for kernel_size in (1, 2, (1, 1)):
        with pytest.raises(ValueError, match="`kernel_size` must have taps beside"):
            tuning.density(hp, kernel_size)
    with pytest.raises(ValueError, match="No ranges are published for 4 coefficients"):
        tuning.density(hp, 9, family="coefficients")
    with pytest.raises(ValueError, match="`family` must be one of"):
        tuning.density(hp, 9, family="radial")
    with pytest.raises(ValueError, match="`per_axis` needs the sizes of the axes"):
        tuning.density(hp, 9, per_axis=True)
    for ranges in ((0, 1), (2, 1), [(1, 2)], 3, (1, math.inf)):
        with pytest.raises(ValueError, match="must be one \\(low, high\\) of sigma"):
            tuning.density(hp, 9, family="gaussian", ranges=ranges)
    with pytest.raises(ValueError, match="a list of ranges for each axis"):
        tuning.density(hp, (9, 9), per_axis=True, family="gaussian", ranges=[(1, 2)])
    for ranges in ([(0, 1)], (0.5, 1.5), 1.5, [(0, 1, 2), (0, 1)], [("a", 1), (0, 1)]):
        with pytest.raises(ValueError, match="each of the 2 coefficients of 'density_"):
            tuning.density(hp, 5, ranges=ranges)
    with pytest.raises(ValueError, match="a list of ranges for each axis"):
        tuning.density(hp, (3, 3), ranges=[[(0, 1)]])
    with pytest.raises(ValueError, match="a list of ranges for each axis"):
        tuning.density(hp, (3, 3), ranges=1.5)
    assert not hp.space
