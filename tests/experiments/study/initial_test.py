"""Seeds differ, pairs agree, and factors act, whatever the layers are called."""

import keras
import keras_tuner as kt
import numpy as np
import pytest
from made_study import candidate, functional, sequential

from keras_wconv import WeightedConv1D, WeightedConv2D
from keras_wconv.experiments import Candidate
from keras_wconv.experiments.study import initial


def start(build, seed=0, factor=1.0, **settings):
    made = Candidate("it", lambda hp: build(), **settings)
    return initial.start(made, kt.HyperParameters(), seed, factor)


def values(build, *args, **kwargs):
    return start(build, *args, **kwargs)[0].get_weights()


def named():
    inputs = keras.Input((6, 6, 1), name="in")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x), name="net")


def weighted():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            WeightedConv2D(4, 3, activation="relu", density=[0.5]),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )


def learned():
    model = weighted()
    config = model.layers[0].get_config() | {"density_trainable": True}
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            WeightedConv2D.from_config(config),
            *(type(one).from_config(one.get_config()) for one in model.layers[1:]),
        ]
    )


BUILDS = [sequential, functional, named, weighted]


@pytest.mark.parametrize("build", BUILDS)
def test_a_seed_decides_the_start_and_another_changes_it(build):
    again, first, other = (values(build, seed) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("build", BUILDS[1:])
def test_networks_of_one_shape_share_their_start(build):
    (_, one), (_, two) = start(sequential), start(build)
    assert one == two
    for a, b in zip(values(sequential), values(build), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_random_layer_more_shifts_no_draw():
    """Keras draws the seeds of all layers from one stream."""
    plain, dropped = (start(lambda d=d: sequential(dropout=d)) for d in (0.0, 0.5))
    assert plain[1] == dropped[1]
    for a, b in zip(plain[0].weights, dropped[0].weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


def test_the_parameters_of_a_learned_density_shift_no_draw():
    assert start(weighted)[1] == start(learned)[1]


def test_other_shapes_draw_their_own():
    small, large = (start(lambda s=s: sequential(size=s)) for s in (3, 5))
    assert small[1] != large[1]


def test_an_initializer_of_its_own_is_respected():
    zeros = values(lambda: sequential(kernel_initializer="zeros"))
    assert not zeros[0].any() and zeros[2].any()
    fixed = keras.initializers.GlorotUniform(seed=7)
    first, other = (
        values(lambda: sequential(kernel_initializer=fixed), seed) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first[0], other[0])
    normal = values(
        lambda: sequential(kernel_initializer=keras.initializers.HeNormal()), 0
    )[0]
    assert not np.array_equal(normal, values(sequential, 0)[0])


def test_values_that_build_assigned_stay():
    def pretrained():
        model = sequential()
        model.layers[0].kernel.assign(np.full((3, 3, 1, 4), 0.25))
        return model

    kernel, _, dense, _ = values(pretrained)
    assert np.all(kernel == 0.25)
    assert not np.array_equal(dense, values(pretrained, 1)[2])


def test_what_was_loaded_is_no_shared_start():
    def pretrained(value):
        model = sequential()
        model.layers[0].kernel.assign(np.full((3, 3, 1, 4), value))
        return model

    first, again, other = (start(lambda v=v: pretrained(v))[1] for v in (1, 1, 2))
    assert first == again != other
    assert first != start(sequential)[1]


class Own(keras.layers.Layer):
    """A weight whose initializer no attribute has: it cannot be drawn again."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 2), initializer="glorot_uniform")
        self.scale = self.add_weight(shape=(2,), initializer="ones")

    def call(self, x):
        return (x @ self.w) * self.scale


def test_what_a_layer_draws_itself_is_shared_only_if_it_is_the_same():
    def model(dropout):
        before = [keras.layers.Dropout(0.5)] if dropout else []
        return keras.Sequential([keras.Input((4,)), *before, Own()])

    (one, first), (same, again) = (start(lambda: model(False)) for _ in range(2))
    other, third = start(lambda: model(True))
    arrays = [keras.ops.convert_to_numpy(m.layers[-1].w) for m in (one, same, other)]
    assert np.array_equal(arrays[0], arrays[1]) and first == again
    assert np.array_equal(arrays[0], arrays[2]) == (first == third)


def test_a_learned_density_and_a_single_number_share_initial_values():
    def model(options):
        layers = [WeightedConv1D(2, 9, **options), keras.layers.GlobalMaxPooling1D()]
        scale = keras.layers.Normalization(mean=0.0, variance=1.0)  # Holds a number.
        return keras.Sequential([keras.Input((16, 1)), *layers, scale])

    learned = {"density": "gaussian", "density_trainable": True}
    (_, first), (_, second) = (start(lambda o=o: model(o)) for o in ({}, learned))
    assert first == second


@pytest.mark.parametrize("build", BUILDS)
def test_a_factor_reaches_the_kernels_of_convolutions_alone(build):
    (kernel, _, dense, _), (scaled, _, same, _) = (
        values(build, factor=factor) for factor in (1.0, 0.5)
    )
    np.testing.assert_array_equal(scaled, 0.5 * kernel)
    np.testing.assert_array_equal(same, dense)


def test_a_named_initializer_takes_the_place_of_that_of_convolutions():
    kernel, _, dense, _ = values(sequential, initial="ones")
    assert np.all(kernel == 1)
    np.testing.assert_array_equal(dense, values(sequential)[2])


@pytest.mark.parametrize("settings", [{"factor": 0.5}, {"initial": "ones"}])
def test_what_would_reach_no_kernel_is_refused(settings):
    def dense():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    with pytest.raises(ValueError, match="'it' has no convolution kernel"):
        start(dense, **settings)


def test_a_subclassed_model_in_blocks_is_seeded_and_scaled():
    class Block(keras.Layer):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(4, 3)
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(keras.ops.mean(self.convolution(x), (1, 2)))

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, x):
            return self.block(x)

    def built():
        model = Net()
        model(np.zeros((1, 6, 6, 1), "float32"))
        return model

    first, again, other = (values(built, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(values(built, 0, 0.5)[0], 0.5 * first[0])


def test_a_model_that_is_compiled_is_refused():
    def compiled():
        model = sequential()
        model.compile("sgd", "mse")
        return model

    with pytest.raises(ValueError, match="must return a model that is not compiled"):
        start(compiled)
    assert candidate().tune == ()


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_digest_of_values_needs_no_float64_of_the_backend():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    assert initial.values_digest(model) == initial.values_digest(model)
