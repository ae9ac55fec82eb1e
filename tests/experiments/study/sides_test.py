"""The two sides of the question about a density, and the controls that explain it."""

import keras
import keras_tuner as kt
import numpy as np
import pytest

import keras_wconv
from keras_wconv.applications import VGG
from keras_wconv.densities import Gaussian
from keras_wconv.experiments import Candidate, sides
from keras_wconv.experiments.study import initial
from keras_wconv.inspection import weighted_layers

PHI = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])


def network(density=None, **options):
    return VGG(
        (1, 1),
        (4, 4),
        density=density,
        input_shape=(8, 8, 1),
        classes=2,
        hidden_units=(),
        batch_normalization=True,
        **options,
    )


def kernels(candidate, effective=False):
    hp = kt.HyperParameters()
    model, _ = initial.start(candidate, hp, seed=0)
    layers = [one for one in model.layers if hasattr(one, "kernel_size")]
    layers = [one for one in layers if "conv" in one.name]
    name = "effective_kernel" if effective else "kernel"
    return [
        keras.ops.convert_to_numpy(getattr(layer, name, layer.kernel))
        for layer in layers
    ]


def control(name, density=(0.5,)):
    return sides(network, list(density), controls=[name])["controls"][0]


def test_both_sides_tune_the_same_over_the_same_ranges():
    both = sides(network, [0.5])
    knobs = {c.tune for side in ("baseline", "proposal") for c in both[side]}
    assert knobs == {("learning_rate", "start")}
    initials = [{c.initial for c in both[s]} for s in ("baseline", "proposal")]
    assert initials[0] == initials[1] == {None, "glorot_uniform"}
    assert not both["controls"]


def test_a_network_that_starts_from_glorot_has_no_twin():
    """Its twin had the same runs, so that the baseline was tuned half as much."""

    def default(density=None):
        options = {} if density is None else {"density": density}
        kind = keras.layers.Conv2D if density is None else keras_wconv.WeightedConv2D
        return keras.Sequential([keras.Input((8, 8, 1)), kind(2, 3, **options)])

    both = sides(default, [0.5])
    assert [one.name for one in both["baseline"]] == ["standard"]
    assert [one.name for one in both["proposal"]] == [
        "weighted",
        "weighted, normalized",
    ]


def test_a_search_is_what_the_weighted_side_asks_for():
    def gaussian(hp):
        return Gaussian(hp.Float("sigma", 0.5, 2.0))

    both = sides(network, search=gaussian)
    hp = kt.HyperParameters()
    (layer, *_) = weighted_layers(both["proposal"][0].build(hp)).values()
    assert list(hp.values) == ["sigma"]
    assert layer.density_map.shape == (3, 3)


def test_one_side_of_the_proposal_is_normalized():
    both = sides(network, [0.5])
    model = both["proposal"][2].build(kt.HyperParameters())
    for layer in weighted_layers(model).values():
        assert np.mean(layer.density_map**2) == pytest.approx(1, abs=1e-6)


def test_sides_share_their_start():
    both = sides(network, [0.5])
    standard, weighted = (kernels(both[s][0]) for s in ("baseline", "proposal"))
    for one, two in zip(standard, weighted, strict=True):
        np.testing.assert_array_equal(one, two)


def test_start_alone_starts_at_the_effective_kernels_of_the_weighted_network():
    plain = kernels(control("standard as it is"))
    scaled = kernels(control("start alone"))
    assert len(plain) == len(scaled) == 2
    for one, two in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(two, one * PHI[..., None, None], rtol=1e-6)


def unnamed(density=None, **options):
    layer = keras_wconv.WeightedConv2D(2, 3, density=density, **options)
    layers = [keras.Input((8, 8, 1)), layer, keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential(layers)


def test_controls_of_a_network_without_names():
    def first(name):
        made = sides(unnamed, [0.5], controls=[name])["controls"][0]
        model, _ = initial.start(made, kt.HyperParameters(), seed=0)
        return keras.ops.convert_to_numpy(model.layers[0].kernel)

    scaled = first("standard as it is") * PHI[..., None, None]
    np.testing.assert_allclose(first("start alone"), scaled, rtol=1e-6)
    with pytest.raises(ValueError, match="controls 'one factor' and 'permuted' need"):
        first("one factor")


def test_step_alone_starts_at_the_standard_kernels():
    plain = kernels(control("standard as it is"))
    effective = kernels(control("step alone"), effective=True)
    for one, two in zip(plain, effective, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one factor", np.full((3, 3), np.sqrt(np.mean(PHI**2)))),
        ("not normalized", PHI),
    ],
)
def test_controls_have_the_maps_that_they_say(name, expected):
    model = control(name).build(kt.HyperParameters())
    for layer in weighted_layers(model).values():
        np.testing.assert_allclose(layer.density_map, expected, rtol=1e-6)


def test_permuted_has_the_same_values_in_other_places():
    model = control("permuted", [0.5]).build(kt.HyperParameters())
    for layer in weighted_layers(model).values():
        phi = layer.density_map
        np.testing.assert_allclose(np.sort(phi.flatten()), np.sort(PHI.flatten()))
        assert phi[1, 1] == 1 and not np.allclose(phi, PHI)


def test_learned_has_a_density_to_learn():
    model = control("learned").build(kt.HyperParameters())
    assert all(layer.density is not None for layer in weighted_layers(model).values())
    assert any("density" in w.path for w in model.trainable_weights)


def test_a_candidate_of_ones_own_is_a_control():
    mine = Candidate("mine", lambda hp: network())
    assert sides(network, [0.5], controls=[mine])["controls"] == [mine]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of `density` and `search`"),
        ({"density": [0.5], "search": len}, "Exactly one of `density` and `search`"),
        ({"density": [0.5], "controls": ["H"]}, "`controls` must be Candidates"),
        ({"search": len, "controls": ["permuted"]}, "needs a `density`"),
    ],
)
def test_what_makes_no_sides_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sides(network, **arguments)


def test_a_density_that_reaches_no_layer_is_refused():
    both = sides(network, search=lambda hp: {3: None})
    with pytest.raises(ValueError, match="reaches no layer"):
        both["proposal"][0].build(kt.HyperParameters())


def test_step_alone_refuses_a_density_with_zeros():
    with pytest.raises(ValueError, match="must not contain 0"):
        control("step alone", [0.0]).build(kt.HyperParameters())
