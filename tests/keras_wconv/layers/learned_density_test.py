"""Learned densities of every kind, and of every channel: what each of them owes."""

import csv
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import reference
from layer_checks import float64, gradients, normal, randomize, to_numpy
from own_density import Cauchy

import keras_wconv
import keras_wconv_cli
from keras_wconv import densities
from keras_wconv.callbacks import DensityLogger
from keras_wconv.inspection import weighted_layers
from keras_wconv.tuning.kept_model import KeptModel

IS_JAX = keras.backend.backend() == "jax"
CHANNELS, FILTERS = 2, 3
# Squared distances of a 3 x 5 kernel's taps from its center, axis by axis.
ROWS, COLUMNS = np.abs(np.arange(3) - 1)[:, None] ** 2, np.abs(np.arange(5) - 2) ** 2


@dataclasses.dataclass
class Form:
    density: object
    formula: Callable  # the map, from the learned parameters
    layer: type = keras_wconv.WeightedConv2D
    per_channel: bool = False

    def make(self, **arguments):
        filters = {"filters": FILTERS}
        if self.layer is keras_wconv.WeightedDepthwiseConv2D:
            filters = {}
        return self.layer(
            kernel_size=(3, 5),
            density=self.density,
            density_trainable=True,
            density_per_channel=self.per_channel,
            **filters,
            **arguments,
        )

    def map(self, values):
        """Φ with the axes of the kernel's channels, in NumPy."""
        if not self.per_channel:
            return self.channel_map(values)[..., None, None]
        count = next(iter(values.values())).shape[-1]
        each = [
            self.channel_map({name: value[..., c] for name, value in values.items()})
            for c in range(count)
        ]
        phi = np.stack(each, axis=-1)
        is_depthwise = self.layer is keras_wconv.WeightedDepthwiseConv2D
        return phi[..., None] if is_depthwise else phi[..., None, :]

    def channel_map(self, values):
        """Families are normalized, what is given tap by tap is not."""
        phi = self.formula(**values)
        if self.formula in (separable, explicit):
            return phi
        return phi / np.sqrt(np.mean(phi**2))


def gaussian(sigma):
    rows, columns = np.broadcast_to(sigma, 2)
    return np.exp(-ROWS / (2 * rows**2)) * np.exp(-COLUMNS / (2 * columns**2))


def exponential(scale):
    return np.exp(-np.sqrt(ROWS + COLUMNS) / scale)


def inverse(scale):
    return 1 / (1 + np.sqrt(ROWS + COLUMNS) / scale)


def cauchy(width):
    return 1 / (1 + (ROWS + COLUMNS) / width**2)


def separable(coefficients_0, coefficients_1):
    return reference.density_map([coefficients_0, coefficients_1], (3, 5))


def explicit(map):
    return map


DEPTHWISE = {"layer": keras_wconv.WeightedDepthwiseConv2D, "per_channel": True}
AXES = [[0.7], [0.2, 0.8]]
MAP = densities.Gaussian(1.3)((3, 5))
FORMS = {
    "gaussian": Form(densities.Gaussian(1.3), gaussian),
    "gaussian of each axis": Form(densities.Gaussian([0.8, 2.0]), gaussian),
    "exponential": Form(densities.Radial("exponential", 1.5), exponential),
    "inverse": Form(densities.Radial("inverse", 1.5), inverse),
    "own": Form(Cauchy(1.5), cauchy),
    "gaussian of each channel": Form(densities.Gaussian(1.3), gaussian, **DEPTHWISE),
    "axes of each channel": Form(densities.Gaussian([0.8, 2.0]), gaussian, **DEPTHWISE),
    "radial of each channel": Form(densities.Radial(), exponential, **DEPTHWISE),
    "own of each channel": Form(Cauchy(1.5), cauchy, **DEPTHWISE),
    "profiles of each channel": Form(AXES, separable, **DEPTHWISE),
    "gaussian of each filter": Form(
        densities.Gaussian(1.3), gaussian, per_channel=True
    ),
    "map of each filter": Form(MAP, explicit, per_channel=True),
}
# JAX compiles each anew; what is special in these, others show there.
REPEATED = ["inverse", "gaussian of each channel", "axes of each channel"]
REPEATED += ["radial of each channel"]
every_form = pytest.mark.parametrize(
    "form",
    [
        pytest.param(
            form,
            id=name,
            marks=[pytest.mark.exhaustive] * (IS_JAX and name in REPEATED),
        )
        for name, form in FORMS.items()
    ],
)


def built(form, **arguments):
    """A layer whose weights, those of the density too, are all different."""
    layer = form.make(**arguments)
    layer.build((None, 6, 7, CHANNELS))
    randomize(layer)
    return layer


def small_model(form):
    model = keras.Sequential([keras.Input((6, 7, CHANNELS)), form.make(name="conv")])
    model.add(keras.layers.GlobalAveragePooling2D())
    randomize(model.layers[0])
    return model


@every_form
def test_map_and_gradients_against_numpy(form):
    """Central differences of a loss that NumPy computes from the formulas alone."""
    step = 1e-5
    with float64():
        layer = built(form, use_bias=False, dtype="float64")
        inputs = normal((2, 6, 7, CHANNELS), dtype="float64")
        kernel = to_numpy(getattr(layer, layer.weighted_kernel))
        stored = {w.name: to_numpy(w).copy() for w in layer.density.weights}
        names = dict(zip(layer.density.values(), stored, strict=True))
        is_depthwise = layer.density_channel_axis == -2
        convolve = reference.depthwise_conv if is_depthwise else reference.conv

        def outputs(stored):
            values = {
                name: np.exp(stored[weight]) if weight == f"log_{name}" else value
                for name, weight in names.items()
                for value in [stored[weight]]
            }
            effective = kernel * form.map(values)
            return convolve(inputs, effective, (1, 1), "valid", (1, 1))

        target = normal(outputs(stored).shape, 1, "float64")

        def loss(stored):
            return np.sum((outputs(stored) - target) ** 2)

        # Sums of 15 products in float64.
        np.testing.assert_allclose(
            to_numpy(layer(inputs)), outputs(stored), rtol=1e-12, atol=1e-12
        )
        goal = keras.ops.convert_to_tensor(target)
        weights = layer.density.weights
        found = gradients(lambda: keras.ops.sum((layer(inputs) - goal) ** 2), weights)
        for weight, gradient in zip(weights, found, strict=True):
            for index in np.ndindex(*gradient.shape):
                differences = []
                for sign in (1, -1):
                    moved = {name: value.copy() for name, value in stored.items()}
                    moved[weight.name][index] += sign * step
                    differences.append(sign * loss(moved))
                # Truncation and cancellation are both near 1e-9 of the loss.
                assert gradient[index] == pytest.approx(
                    sum(differences) / (2 * step), rel=1e-6, abs=1e-6
                )


@every_form
def test_saved_folded_and_shown(form, tmp_path, capsys):
    model = small_model(form)
    inputs = normal((2, 6, 7, CHANNELS))
    outputs = to_numpy(model(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_array_equal(to_numpy(loaded(inputs)), outputs)
    layer, again = model.layers[0], loaded.layers[0]
    np.testing.assert_array_equal(again.density_map, layer.density_map)
    assert again.get_config() == layer.get_config()

    folded = keras_wconv.fold(model)
    assert type(folded.layers[0]).__module__.startswith("keras.")
    name = layer.weighted_kernel
    effective = to_numpy(getattr(layer, name)) * form.map(layer.density.values())
    # An exponent is rounded to float32, which multiplies Φ by 1 + 1e-7 times as much.
    np.testing.assert_allclose(
        to_numpy(folded.layers[0].weights[0]), effective, rtol=2e-6, atol=1e-6
    )
    np.testing.assert_array_equal(to_numpy(folded(inputs)), outputs)

    assert keras_wconv_cli.main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "learned" in shown
    assert ("narrowest" in shown) == form.per_channel


def test_show_names_the_narrowest_and_the_widest_channel(tmp_path, capsys):
    form = FORMS["gaussian of each channel"]
    model = keras.Sequential([keras.Input((6, 7, 4)), form.make()])
    sigmas = [1.0, 3.0, 0.3, 1.5]
    model.layers[0].density.weights[0].assign(np.log(sigmas))
    model.save(tmp_path / "model.keras")
    assert keras_wconv_cli.main(["show", str(tmp_path / "model.keras")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 channels" in shown
    assert "narrowest, 2" in shown
    assert "widest, 1" in shown


@every_form
def test_an_optimizer_of_its_own_and_the_log_of_it(form, tmp_path):
    model = small_model(form)
    layer = model.layers[0]
    optimizer = keras_wconv.optimizers.density_optimizer(
        keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1)
    )
    model.compile(optimizer, "mse")
    before = {w.path: to_numpy(w).copy() for w in model.weights}
    logger = DensityLogger(tmp_path / "log.csv")
    outputs = model.compute_output_shape((4, 6, 7, CHANNELS))
    model.fit(
        normal((4, 6, 7, CHANNELS)), normal(outputs), verbose=0, callbacks=[logger]
    )
    for weight in model.weights:
        is_density = "/density/" in weight.path
        assert np.any(to_numpy(weight) != before[weight.path]) == is_density
    values = layer.density.values()
    assert list(logger.history["conv"]) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(logger.history["conv"][name][-1], value)
        assert value.min() > 0 or name not in layer.density.initial.positive
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = [row for row in rows if row["parameter"] == "effective_size"]
    assert len(sizes) == 2 * 2  # of the kernel's two axes, before and after
    assert len(rows) - len(sizes) == 2 * sum(value.size for value in values.values())


@pytest.mark.parametrize(
    "form", ["gaussian", "own", "axes of each channel", "map of each filter"]
)
def test_the_kept_model_of_a_tuner_starts_learning_anew(form):
    def build():
        keras.utils.clear_session(free_memory=False)
        model = keras.Sequential([keras.Input((6, 7, CHANNELS)), FORMS[form].make()])
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=not IS_JAX)
        return model

    kept = KeptModel(build())
    for weight in kept.model.weights:
        weight.assign(weight + 1)
    new = build()
    assert kept.start_as(new) is None
    for held, own in zip(kept.model.weights, new.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(held), to_numpy(own))


# Fixed maps with the axes of the channels.


@pytest.mark.parametrize(
    ("layer_class", "axes"),
    [
        (keras_wconv.WeightedDepthwiseConv2D, (CHANNELS, 1)),
        (keras_wconv.WeightedConv2D, (1, FILTERS)),
        (keras_wconv.WeightedConv2D, (CHANNELS, 1)),
        (keras_wconv.WeightedConv2D, (CHANNELS, FILTERS)),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_fixed_map_of_each_channel(layer_class, axes, normalize, tmp_path):
    phi = np.random.default_rng(0).uniform(0.5, 1.5, (3, 5, *axes))
    arguments = {"density": phi, "normalize_density": normalize}
    if layer_class is keras_wconv.WeightedConv2D:
        arguments["filters"] = FILTERS
    layer = layer_class(kernel_size=(3, 5), **arguments)
    model = keras.Sequential([keras.Input((6, 7, CHANNELS)), layer])
    inputs = normal((2, 6, 7, CHANNELS))
    outputs = to_numpy(model(inputs))
    expected = phi / np.sqrt(np.mean(phi**2, (0, 1))) if normalize else phi
    kernel = to_numpy(getattr(layer, layer.weighted_kernel))
    np.testing.assert_allclose(
        to_numpy(layer.effective_kernel), kernel * expected, rtol=1e-6
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for other in (loaded, keras_wconv.fold(model)):
        np.testing.assert_array_equal(to_numpy(other(inputs)), outputs)
    model.compile("sgd", "mse")
    kept = KeptModel(model)  # A tuner holds it as a weight.
    np.testing.assert_array_equal(to_numpy(kept.model(inputs)), outputs)


def test_channels_that_the_kernel_does_not_have():
    layer = keras_wconv.WeightedDepthwiseConv2D(3, density=np.ones((3, 3, 4, 1)))
    with pytest.raises(ValueError, match=r"axes broadcast to.*\(3, 3, 4, 1\)"):
        layer.build((None, 6, 6, CHANNELS))


# What the densities are for: the width that made the data is found.


@pytest.mark.parametrize(
    ("per_channel", "widths"), [(False, [2.5, 2.5]), (True, [0.8, 3.0])]
)
@pytest.mark.parametrize("family", [densities.Gaussian, Cauchy])
def test_the_width_that_made_the_data_is_found(family, per_channel, widths):
    """Kernels of ones are seen through windows, whose widths are all that is unknown.

    A loss without noise is 0 at the true widths alone; Adam comes within 2 % of them in
    a hundred steps from 1.5.
    """
    size = 15
    inputs = normal((16, 48, 2))
    truth = [family(width)((size,)) for width in widths]
    kernel = np.stack(truth, axis=-1)[..., None]
    targets = reference.depthwise_conv(inputs, kernel, (1,), "valid", (1,))
    layer = keras_wconv.WeightedDepthwiseConv1D(
        size,
        density=family(1.5),
        density_trainable=True,
        density_per_channel=per_channel,
        normalize_density=False,  # The windows are 1 at their center.
        depthwise_initializer="ones",
        use_bias=False,
    )
    model = keras.Sequential([keras.Input((48, 2)), layer])
    layer.kernel.trainable = False
    model.compile(keras.optimizers.Adam(0.05), "mse")
    steps = [np.tile(values, (120, 1, 1)) for values in (inputs, targets)]
    model.fit(*steps, batch_size=16, shuffle=False, verbose=0)
    [found] = layer.density.values().values()
    np.testing.assert_allclose(found, widths if per_channel else widths[0], rtol=0.02)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="takes long to make the kernels"
)
def test_weighted_layers_of_keras_convnext():
    """Its 22 kernels of 7 x 7 and of 4 x 4 and 2 x 2 get the density, exactly."""
    model = keras.applications.ConvNeXtTiny(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    weighted, report = keras_wconv.to_weighted(
        model, densities.Gaussian(2.0), return_report=True
    )
    assert len(report.converted) == len(weighted_layers(weighted)) == 22
    assert not report.left
    folded = keras_wconv.fold(weighted)
    for own, plain in zip(model.weights, folded.weights, strict=True):
        # Divided by Φ and multiplied again, each rounded once.
        np.testing.assert_allclose(to_numpy(plain), to_numpy(own), rtol=3e-7, atol=0)
