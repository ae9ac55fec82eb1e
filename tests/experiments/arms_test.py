"""What each arm changes in the standard network, and what it leaves alone."""

import functools

import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv.densities import Gaussian
from keras_wconv.experiments import Arm, arms, runs

PHI = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])[..., None, None]
OWN_START = ("C", "D", "glorot", "lecun", "orthogonal")


def network_of(key, task=None, density=(0.5,), **setup):
    task = task or small_tasks.denoising()
    setup = runs.Setup(arms.ARMS[key], list(density), task.learning_rate, **setup)
    return runs.Network(task, setup)


def start_of(key, **setup):
    network = network_of(key, **setup)
    network.start(seed=3)
    weights = network.model.weights
    return {w.path: keras.ops.convert_to_numpy(w) for w in weights}


@pytest.fixture(scope="module")
def standard():
    return start_of("A")


@pytest.mark.parametrize("key", [k for k in arms.ARMS if k not in OWN_START])
def test_arms_share_their_start(standard, key):
    start = start_of(key)
    for path, value in standard.items():
        np.testing.assert_array_equal(value, start[path])


@pytest.mark.parametrize(("key", "factor"), [("C", PHI), ("D", 1 / PHI)])
def test_start_and_step_differ_from_the_standard_by_the_density(standard, key, factor):
    start = start_of(key)
    for path, value in standard.items():
        expected = factor * value if path.endswith("/kernel") else value
        # One product in float32.
        np.testing.assert_allclose(start[path], expected, rtol=1e-6)


@pytest.mark.parametrize("key", ["ST", "C"])
def test_a_start_factor_scales_the_kernels_alone(key, standard):
    one, half = start_of(key), start_of(key, start=0.5)
    for path in standard:
        factor = 0.5 if path.endswith("/kernel") else 1
        np.testing.assert_allclose(half[path], factor * one[path], rtol=1e-6)


def test_step_only_starts_at_the_outputs_of_the_standard_network():
    """Its effective kernels are the standard ones; only its steps differ."""
    (inputs, _) = small_tasks.denoising().batches(seed=9)[0]
    outputs = []
    for key in "AD":
        network = network_of(key)
        network.start(seed=3)
        outputs.append(keras.ops.convert_to_numpy(network.model(inputs)))
    # The kernels are divided and multiplied again in float32.
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


def test_step_only_refuses_a_density_with_zeros():
    with pytest.raises(ValueError, match="must not contain 0"):
        network_of("D", density=[0.0]).start(seed=0)


def test_initializers_have_their_own_scale(standard):
    shape = standard["conv2/kernel"].shape
    fan_in, fan_out = (9 * channels for channels in shape[2:])
    # 9 * 4 * 4 = 144 values: the deviation of such a sample varies by 6 %.
    glorot = start_of("glorot")["conv2/kernel"].std()
    assert glorot == pytest.approx(np.sqrt(2 / (fan_in + fan_out)), rel=0.25)
    lecun = start_of("lecun")["conv2/kernel"].std()
    assert lecun == pytest.approx(np.sqrt(1 / fan_in), rel=0.25)
    kernel = start_of("orthogonal")["conv2/kernel"].reshape(-1, shape[-1])
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(shape[-1]), atol=1e-5)


def test_all_arms_train_to_different_networks():
    """Arms that differ in tuned values alone are left out: here, none is tuned."""
    task = small_tasks.denoising(epochs=1)
    keys = [key for key, arm in arms.ARMS.items() if not arm.tuned]
    outputs = {}
    (inputs, _) = task.batches(seed=9)[0]
    for key in keys:
        model = network_of(key, task).train(seed=0)
        outputs[key] = keras.ops.convert_to_numpy(model(inputs))
    # A kernel of 3 has one coefficient: permuted, its corners and edges change places.
    for i, key in enumerate(keys):
        for other in keys[:i]:
            assert not np.allclose(outputs[key], outputs[other]), (key, other)


def test_gain_has_the_mean_square_of_the_density_and_no_shape():
    maps = arms.kernel_maps(network_of("F").model)
    assert len(maps) == 3
    for gain in maps.values():
        np.testing.assert_allclose(gain, np.sqrt(np.mean(PHI**2)))


def test_permuted_density_has_its_values_in_other_places():
    network = functools.partial(small_tasks.small_dncnn, kernel_size=5)
    task = small_tasks.denoising(network)
    setup = runs.Setup(arms.ARMS["G"], Gaussian(1.5), task.learning_rate)
    maps = arms.kernel_maps(runs.Network(task, setup).model)
    phi = Gaussian(1.5)((5, 5))
    for permuted in maps.values():
        permuted = permuted[..., 0, 0]
        np.testing.assert_allclose(np.sort(permuted, None), np.sort(phi, None))
        assert permuted[2, 2] == phi[2, 2]
        assert not np.allclose(permuted, phi)
        np.testing.assert_array_equal(permuted, maps["conv1/kernel"][..., 0, 0])


def test_arm_with_a_density_of_its_own():
    own = Arm("W", "wide", arms.with_density([0.9]))
    task = small_tasks.denoising()
    model = own.network(task, [0.5])
    assert model.get_layer("conv1").density_map[0, 1] == pytest.approx(0.9)


def test_selection_of_arms():
    own = Arm("H", "half start", start=lambda kernel, phi: kernel / 2)
    assert list(arms.select(["A", own])) == ["A", "H"]
    assert list(arms.select("A, ST")) == ["A", "ST"]
    with pytest.raises(ValueError, match=r"`arms` must be keys of .*Received: X"):
        arms.select("A,B,X")
    with pytest.raises(ValueError, match="must have different keys"):
        arms.select(["A", "A"])
    with pytest.raises(ValueError, match=r"`tuned` must be of .*\['epochs'\]"):
        Arm("E", "epochs", tuned=("epochs",))
    with pytest.raises(ValueError, match="`side` must be one of"):
        Arm("E", "other side", side="left")
