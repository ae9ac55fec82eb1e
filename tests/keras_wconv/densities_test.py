import itertools
import json
import math

import keras
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_wconv import densities

coefficients = st.floats(-10, 10, allow_subnormal=False)


@keras.saving.register_keras_serializable(package="densities_test")
class Corner(densities.Density):
    """A density of a user's own, with an argument."""

    def __init__(self, value=0.5):
        self.value = value

    def __call__(self, kernel_size, causal=False):
        phi = np.ones(kernel_size)
        phi[(0,) * len(kernel_size)] = self.value
        return phi

    def get_config(self):
        return {"value": self.value}


@keras.saving.register_keras_serializable(package="densities_test")
def hat(distance):
    return np.maximum(0.0, 1.0 - distance)


# What the kinds are.


@settings(derandomize=True, database=None, deadline=None)
@given(data=st.data(), causal=st.booleans())
def test_separable_is_the_outer_product_of_its_profiles(data, causal):
    kernel_size = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    counts = [k - 1 if causal else (k - 1) // 2 for k in kernel_size]
    assert counts == [densities.num_coefficients(k, causal) for k in kernel_size]
    values = [data.draw(st.lists(coefficients, min_size=n, max_size=n)) for n in counts]
    density = densities.Separable(values)
    expected = reference.density_map(values, kernel_size, causal)
    np.testing.assert_array_equal(density(kernel_size, causal), expected)
    for axis, profile in enumerate(density.profiles(kernel_size, causal)):
        one_axis = [values[axis]], kernel_size[axis : axis + 1]
        np.testing.assert_array_equal(profile, reference.density_map(*one_axis, causal))


@pytest.mark.parametrize(
    ("given", "kernel_size", "profile"),
    [
        (0.7, (3, 3), [0.7, 1, 0.7]),
        (0.7, (4,), [0.7, 1, 1, 0.7]),
        ([0.2, 0.8], (5, 5, 5), [0.2, 0.8, 1, 0.8, 0.2]),
        ((0.25, 0.15, 0.55), (7,), [0.25, 0.15, 0.55, 1, 0.55, 0.15, 0.25]),
        ([0.2, 0.8], (6,), [0.2, 0.8, 1, 1, 0.8, 0.2]),
        ([], (1, 1), [1]),
        ([], (2,), [1, 1]),
        ([0.0], (3,), [0, 1, 0]),
        ([-1], (3,), [-1, 1, -1]),
        (np.float32(0.5), (3,), [0.5, 1, 0.5]),
    ],
    ids=str,
)
def test_published_profiles(given, kernel_size, profile):
    density = densities.get(given)
    for found in density.profiles(kernel_size):
        np.testing.assert_array_equal(found, profile)
    outer = math.prod(np.ix_(*[np.array(profile, float)] * len(kernel_size)))
    np.testing.assert_allclose(density(kernel_size), outer, rtol=1e-15)


def test_causal_profile_ends_with_the_reference_sample():
    np.testing.assert_array_equal(
        densities.Separable([0.1, 0.2, 0.3])((4,), causal=True), [0.1, 0.2, 0.3, 1]
    )
    np.testing.assert_array_equal(densities.tap_distances(4, causal=True), [3, 2, 1, 0])


def distances(kernel_size, causal):
    """Steps from each tap to the nearest central tap, axis by axis."""
    for tap in np.ndindex(*kernel_size):
        steps = []
        for position, size in zip(tap, kernel_size, strict=True):
            centers = [size - 1] if causal else [(size - 1) // 2, size // 2]
            steps.append(min(abs(position - center) for center in centers))
        yield tap, steps


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel_size", [(3,), (4, 5), (2, 3, 1)])
def test_gaussian_and_radial_follow_their_formulas(kernel_size, causal):
    sigmas = [0.8, 1.5, 2.0][: len(kernel_size)]
    gaussian = densities.Gaussian(1.3)(kernel_size, causal)
    per_axis = densities.Gaussian(sigmas)(kernel_size, causal)
    exponential = densities.Radial("exponential", 2.0)(kernel_size, causal)
    inverse = densities.Radial("inverse")(kernel_size, causal)
    own = densities.Radial(hat, scale=4.0)(kernel_size, causal)
    for tap, steps in distances(kernel_size, causal):
        square = sum(s * s for s in steps)
        scaled = sum((s / sigma) ** 2 for s, sigma in zip(steps, sigmas, strict=True))
        radius = math.hypot(*steps)
        assert gaussian[tap] == pytest.approx(math.exp(-square / (2 * 1.3**2)))
        assert per_axis[tap] == pytest.approx(math.exp(-scaled / 2))
        assert exponential[tap] == pytest.approx(math.exp(-radius / 2))
        assert inverse[tap] == pytest.approx(1 / (1 + radius))
        assert own[tap] == pytest.approx(max(0.0, 1 - radius / 4))


def test_radial_is_not_separable():
    phi = densities.Radial()((3, 3))
    assert np.linalg.matrix_rank(phi) > 1


@pytest.mark.parametrize("kernel_size", itertools.product([1, 2, 3, 4, 5], repeat=2))
def test_families_are_symmetric_and_one_at_the_center(kernel_size):
    for density in (
        densities.Gaussian(0.9),
        densities.Radial(),
        densities.Radial("inverse"),
    ):
        phi = density(kernel_size)
        assert phi.dtype == "float64"
        assert phi.shape == kernel_size
        np.testing.assert_array_equal(phi, np.flip(phi))
        assert phi[(kernel_size[0] - 1) // 2, kernel_size[1] // 2] == 1.0


def test_the_profiles_of_a_map_with_channels_are_those_of_its_spatial_axes():
    values = np.arange(60.0).reshape(3, 5, 1, 4)
    rows, columns = densities.Map(values).profiles((3, 5))
    np.testing.assert_array_equal(rows, values[:, 2])
    np.testing.assert_array_equal(columns, values[1])


def test_a_map_is_copied():
    values = np.ones((3, 3))
    density = densities.Map(values)
    values[0, 0] = 9.0
    density((3, 3))[1, 1] = 9.0
    np.testing.assert_array_equal(density((3, 3)), np.ones((3, 3)))


@pytest.mark.parametrize(
    ("kernel_size", "causal", "sigma"),
    [
        ((7,), False, 1.0),
        ((7,), True, 1.75),
        ((4,), True, 1.0),
        ((18, 18), False, 2.25),
        ((1, 18), False, 2.25),
        ((3, 12), False, [1.0, 1.5]),
        ((16, 12, 12), False, [2.0, 1.5, 1.5]),
        ((65,), False, 4.0),
        ((65,), True, 8.0),
    ],
)
def test_a_gaussian_by_default_is_an_eighth_of_the_kernel(kernel_size, causal, sigma):
    for density in (densities.get("gaussian"), densities.Gaussian()):
        expected = densities.Gaussian(sigma)
        np.testing.assert_array_equal(
            density(kernel_size, causal), expected(kernel_size, causal)
        )
        [parameter] = density.parameters(kernel_size, causal).values()
        assert parameter.tolist() == sigma
        again = densities.deserialize(densities.serialize(density))
        assert again.sigma is None


def test_normalize_makes_the_root_mean_square_one():
    phi = densities.normalize(densities.Separable([0.25, 0.15, 0.55])((7, 7)))
    assert np.mean(phi**2) == pytest.approx(1.0, rel=1e-14)


def test_variance_of_the_published_profiles():
    def gain(values, size):
        return np.mean(densities.Separable(values)((size, size)) ** 2)

    assert gain([0.7], 3) == pytest.approx(0.436, abs=5e-4)
    assert gain([0.25, 0.15, 0.55], 7) == pytest.approx(0.064, abs=5e-4)
    assert gain([1.5], 3) == pytest.approx(3.36, abs=5e-3)


# get, serialize, deserialize.


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (0.7, densities.Separable),
        ([0.7], densities.Separable),
        ([[0.7], [0.2, 0.8]], densities.Separable),
        (np.ones((3, 3)), densities.Map),
        ("gaussian", densities.Gaussian),
        ("Radial", densities.Radial),
        ("keras_wconv>Gaussian", densities.Gaussian),
        ("densities_test>Corner", Corner),
        (densities.Gaussian, densities.Gaussian),
        (Corner(0.1), Corner),
    ],
    ids=str,
)
def test_get(identifier, expected):
    assert type(densities.get(identifier)) is expected


def test_get_passes_none_and_instances_through():
    assert densities.get(None) is None
    density = densities.Gaussian()
    assert densities.get(density) is density


@pytest.mark.parametrize(
    "density",
    [
        densities.Separable(0.7),
        densities.Separable([0.2, 0.8]),
        densities.Separable([[0.2, 0.8], [0.5]]),
        densities.Gaussian(np.float32(1.5)),
        densities.Gaussian([1.0, 2.0]),
        densities.Radial("inverse", 3.0),
        densities.Radial(hat, 3.0),
        densities.Map(np.arange(9.0).reshape(3, 3)),
        Corner(0.25),
    ],
)
def test_serialize_round_trip_through_json(density):
    config = json.loads(json.dumps(densities.serialize(density)))
    for restored in (densities.deserialize(config), densities.get(config)):
        assert type(restored) is type(density)
        assert restored.get_config() == density.get_config()
        assert repr(restored) == repr(density)


def test_none_round_trip():
    assert densities.serialize(None) is None
    assert densities.deserialize(None) is None


def test_custom_objects_of_deserialize():
    class Unregistered(Corner):
        pass

    config = densities.serialize(Unregistered(0.1))
    restored = densities.deserialize(config, {"Unregistered": Unregistered})
    assert restored.value == 0.1


# Bad input: one case for each mistake.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nonsense", r"Unknown `density`.*'nonsense'"),
        ("map", r"needs arguments. Give an instance"),
        (True, r"`density` must be None, a number.*True"),
        (object(), r"`density` must be None, a number"),
        (lambda k: 1, r"`density` must be None, a number"),
        (float("nan"), r"`density` coefficients must be finite.*nan"),
        ([0.7, float("inf")], r"`density` coefficients must be finite.*inf"),
        ([[0.7], [float("nan")]], r"`density` coefficients must be finite"),
        ([0.7, True], r"`density` coefficients must be finite"),
        (["0.7"], r"`density` coefficients must be finite"),
        ([0.7, [0.2]], r"one list that all axes share, or one list for each axis"),
        (np.array([[1.0, np.nan]]), r"`density` must have finite, real values"),
        (np.array([[1.0, 1j]]), r"`density` must have finite, real values"),
        (np.array(["a"]), r"`density` must have finite, real values"),
        ({3: [0.7]}, r"A dict by kernel size is for whole networks"),
        (
            keras.saving.serialize_keras_object(keras.initializers.Zeros()),
            r"Expected the config of a `keras_wconv.densities.Density`",
        ),
    ],
)
def test_get_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        densities.get(given)


@pytest.mark.parametrize(
    ("given", "kernel_size", "message"),
    [
        (0.7, (5, 5), r"2 coefficients \(profile \(d1, d2, 1, d2, d1\)\).*density=0.7"),
        ([0.7], (5, 5), r"2 coefficients.*Received: density=\[0.7\]"),
        ([0.1, 0.2, 0.3], (3,), r"1 coefficient \(profile \(d1, 1, d1\)\)"),
        ([0.7], (2, 2), r"0 coefficients \(profile \(1, 1\)\)"),
        ([0.7, 1, 0.7], (3, 3), r"That is a full profile.*density=\[0.7\]"),
        ([0.2, 0.8, 1, 0.8, 0.2], (5,), r"full profile.*density=\[0.2, 0.8\]"),
        ([0.7, 1, 1, 0.7], (4,), r"full profile.*density=\[0.7\]"),
        ([[0.7, 1, 0.7], [0.5, 1, 0.5]], (3, 3), r"density=\[\[0.7\], \[0.5\]\]"),
        ([[0.7]], (3, 3), r"for each of 1 axes. Expected 2 lists"),
        ([[0.7], [0.7], [0.7]], (3, 3), r"for each of 3 axes. Expected 2 lists"),
        ([[0.7], [0.7]], (3, 5), r"1 for \(d1, 1, d1\), 2 for \(d1, d2, 1, d2, d1\)"),
        ([0.7], (3, 5), r"a list, for instance density=\[\[1.0\], \[1.0, 1.0\]\]"),
        (
            np.ones((3, 5)),
            (5, 3),
            r"shape \(5, 3\). .*Received: .* shape \(3, 5\)",
        ),
        (np.ones(1), (3, 3), r"Give coefficients as a list"),
        (
            densities.Gaussian([1, 2, 3]),
            (3, 3),
            r"`sigma` must have one value",
        ),
    ],
    ids=str,
)
def test_a_density_that_does_not_fit_the_kernel(given, kernel_size, message):
    with pytest.raises(ValueError, match=message):
        densities.get(given)(kernel_size)


def test_a_full_causal_profile_is_recognised():
    with pytest.raises(ValueError, match=r"with causal padding.*density=\[0.2, 0.8\]"):
        densities.get([0.2, 0.8, 1.0])((3,), causal=True)


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, [], [1.0, 0.0], "a"])
def test_gaussian_refuses(sigma):
    with pytest.raises(ValueError, match="`sigma` must be a positive, finite number"):
        densities.Gaussian(sigma)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "cosine"}, r"`function` must be one of .*'inverse'"),
        ({"function": None}, r"`function` must be one of"),
        ({"function": lambda r: r}, r"be 1 at distance 0"),
        ({"function": lambda r: 1.0}, r"be 1 at distance 0"),
        ({"scale": 0}, r"`scale` must be a positive"),
        ({"scale": "1"}, r"`scale` must be a positive.*'1'"),
        ({"function": ["inverse"]}, r"`function` must be one of.*\['inverse'\]"),
        ({"scale": math.nan}, r"`scale` must be a positive"),
    ],
)
def test_radial_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        densities.Radial(**arguments)


def test_radial_refuses_a_function_that_is_not_finite_on_the_kernel():
    with pytest.raises(ValueError, match="finite"), np.errstate(divide="ignore"):
        densities.Radial(lambda r: 1 / np.abs(1 - r))((3, 3))


@pytest.mark.parametrize("sigma", [2.0, [1.0, 2.0]])
def test_the_sigma_of_a_gaussian_may_be_an_array(sigma):
    assert densities.Gaussian(np.array(sigma)).get_config() == {"sigma": sigma}
    with pytest.raises(ValueError, match="`sigma` must be a positive"):
        densities.Gaussian(-np.array(sigma))


def test_separable_refuses_what_holds_no_coefficients():
    with pytest.raises(ValueError, match=r"coefficients must be finite.*None"):
        densities.Separable(None)


def test_a_map_of_zeros_cannot_be_normalized():
    with pytest.raises(ValueError, match="`normalize_density` divides"):
        densities.normalize(np.zeros((3, 3)))


def test_a_density_without_call_says_so():
    class Unfinished(densities.Density):
        pass

    with pytest.raises(NotImplementedError, match="`Unfinished` must implement"):
        Unfinished()((3,))
