import numpy as np
import pytest

from keras_wconv._dependence import entropies, gradient_factors, quantize


def correlated(rho, count, seed=0):
    """A stationary Gaussian field along one axis: rho**d is its correlation at d."""
    rng = np.random.default_rng(seed)
    values = np.empty((20, count))  # Twenty fields side by side are made faster.
    values[:, 0] = rng.normal(size=20)
    for i in range(1, count):
        noise = rng.normal(size=20) * np.sqrt(1 - rho**2)
        values[:, i] = rho * values[:, i - 1] + noise
    return values[..., None]


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_mutual_information_of_a_gaussian_field(rho):
    bins = 64
    quantized = quantize(correlated(rho, 20_000), bins)
    for distance in (1, 2):
        (found,), _ = entropies(quantized, (distance,), bins)
        exact = -0.5 * np.log(1 - rho ** (2 * distance))
        # Of 400,000 pairs in some 2,500 cells that are not empty, the estimate is too
        # large by about 2,500 / 800,000; bins of 0.14 deviations lose some 2 %.
        assert found == pytest.approx(exact, rel=0.025, abs=0.005)


@pytest.mark.parametrize("offset", [(0, 1), (2, -1), (-1, 0), (0, 0)])
def test_entropies_are_those_of_a_joint_histogram(offset):
    bins = 7
    x = np.random.default_rng(1).normal(size=(3, 6, 8, 2)).cumsum(2)
    found = entropies(quantize(x, bins), offset, bins)
    for channel in range(2):
        values = x[..., channel]
        pairs = [
            (values[n, i, j], values[n, i + offset[0], j + offset[1]])
            for n, i, j in np.ndindex(values.shape)
            if 0 <= i + offset[0] < 6 and 0 <= j + offset[1] < 8
        ]
        limits = [values.min(), values.max()]
        counts, _, _ = np.histogram2d(
            *zip(*pairs, strict=True), bins=bins, range=[limits, limits]
        )
        p = counts / counts.sum()

        def entropy(p):
            return -np.sum(p[p > 0] * np.log(p[p > 0]))

        alone = entropy(p.sum(0)) + entropy(p.sum(1))
        np.testing.assert_allclose(found[0][channel], alone - entropy(p), atol=1e-12)
        np.testing.assert_allclose(found[1][channel], alone / 2, atol=1e-12)


def test_factors_are_the_normalized_information_of_each_tap():
    bins = 8
    x = np.random.default_rng(2).normal(size=(4, 12, 12, 3)).cumsum(1)
    quantized = quantize(x, bins)
    expected = np.empty((3, 5))
    for i, j in np.ndindex(3, 5):
        shared, alone = entropies(quantized, (2 * (i - 1), j - 2), bins)
        expected[i, j] = shared.sum() / alone.sum()
    expected /= expected.mean()
    found = gradient_factors(x, (3, 5), dilation=(2, 1), bins=bins)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.mean() == pytest.approx(1)
    # Rows are neighbors that tell of each other; columns are not.
    assert found[1].argmax() == 2
    assert (found[0, 2] > found[1, [1, 3]]).all()


def test_middle_of_even_and_of_causal_kernels():
    x = correlated(0.9, 500)
    found = gradient_factors(x, (4,))
    np.testing.assert_allclose(found, found[::-1], rtol=1e-12)
    assert found[1] > found[0]
    found = gradient_factors(x, (4,), causal=True)
    assert (np.diff(found) > 0).all()


def test_power_and_values_that_say_nothing():
    x = correlated(0.9, 500)
    milder = gradient_factors(x, (3,), power=0.5)
    roots = np.sqrt(gradient_factors(x, (3,)))
    np.testing.assert_allclose(milder, roots / roots.mean(), rtol=1e-12)
    for told_nothing in (np.zeros((2, 8, 1)), np.full((2, 8, 1), np.nan)):
        assert gradient_factors(told_nothing, (3,)).tolist() == [1, 1, 1]
    # A channel that is constant counts for nothing.
    both = np.concatenate([x, np.ones_like(x)], axis=-1)
    np.testing.assert_allclose(
        gradient_factors(both, (3,)), gradient_factors(x, (3,)), rtol=1e-12
    )


def test_taps_that_never_meet_a_neighbor_get_the_least():
    found = gradient_factors(np.random.default_rng(3).normal(size=(50, 2, 1)), (7,))
    assert found[0] == found[6] == pytest.approx(0.01 * found[3])
    assert found[2] > found[1]


@pytest.mark.parametrize("scale", [1e-39, 3.4e38])
def test_the_range_of_a_channel_may_be_any_of_float32(scale):
    x = np.random.default_rng(4).integers(-8, 9, (2, 8, 8, 2)).cumsum(1)
    x = (x / np.abs(x).max()).astype("float32")
    extreme = x.copy()
    extreme[..., 1] *= np.float32(scale)
    # Subnormal numbers have 19 bits, by which a value may change its bin.
    np.testing.assert_allclose(
        gradient_factors(extreme, (3, 3)), gradient_factors(x, (3, 3)), rtol=0.05
    )
