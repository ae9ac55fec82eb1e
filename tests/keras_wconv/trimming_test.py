"""Tests of `fold(model, trim=...)`: what is removed, and that nothing moves."""

import itertools

import keras
import numpy as np
import pytest
import reference
from keras import layers
from keras_versions import KERAS
from layer_checks import normal, to_numpy
from runtimes import BACKEND, FORMATS, WRITTEN

import keras_wconv
from keras_wconv import applications
from keras_wconv.densities import Gaussian
from keras_wconv.export import export
from keras_wconv.inspection import effective_size

CHANNELS = 2


def separable(inputs, kernel, pointwise, **arguments):
    outputs = reference.depthwise_conv(inputs, kernel, **arguments)
    return outputs @ pointwise.reshape(pointwise.shape[-2:])


def family(name, filters, convolve, *paddings, **arguments):
    return pytest.param(name, filters, convolve, paddings, arguments, id=name)


FAMILIES = [  # class without "Weighted", its filters, what it does, its paddings
    family("Conv1D", (3,), reference.conv, "valid", "same", "causal"),
    family("Conv2D", (4,), reference.conv, "valid", "same", groups=2),
    family("Conv3D", (3,), reference.conv, "valid", "same"),
    family("DepthwiseConv1D", (), reference.depthwise_conv, "valid", "same"),
    family("DepthwiseConv2D", (), reference.depthwise_conv, "valid", "same"),
    family("SeparableConv1D", (3,), separable, "valid", "same"),
    family("SeparableConv2D", (3,), separable, "valid", "same"),
    family("Conv1DTranspose", (3,), reference.conv_transpose, "valid", "same"),
    family("Conv2DTranspose", (3,), reference.conv_transpose, "valid", "same"),
    family("Conv3DTranspose", (3,), reference.conv_transpose, "valid", "same"),
]


def rank_of(name):
    return int(next(letter for letter in name if letter.isdigit()))


def one_layer(name, filters, kernel_size, spatial=None, **arguments):
    """A model of one weighted layer with random weights."""
    layer = getattr(keras_wconv, f"Weighted{name}")(
        *filters, kernel_size, **arguments, name="layer"
    )
    shape = spatial or (None,) * len(kernel_size)
    model = keras.Sequential([keras.Input((*shape, CHANNELS)), layer])
    model.set_weights([normal(w.shape, i) for i, w in enumerate(model.get_weights())])
    return model, layer


def ring_of_zeros(kernel_size, window):
    phi = np.zeros(kernel_size)
    phi[window] = 1
    return phi


def windows(size, padding):
    """The slices that lose whole rings, and how many taps that leaves."""
    if padding == "causal":
        return [slice(first, size) for first in range(size)]
    return [slice(first, size - first) for first in range((size + 1) // 2)]


def smallest_that_moves_nothing(convolve, size, padding, factors, zeros):
    """The smallest kernel of one axis that gives the same outputs as the large one.

    Asked of the NumPy convolution, with inputs of many sizes.
    """
    kernel = np.zeros((size, 1, 1))
    inner = windows(size, padding)[zeros]
    kernel[inner, 0, 0] = 1 + np.arange(inner.stop - inner.start)
    found = size
    for window in windows(size, padding)[: zeros + 1]:
        same = True
        for steps in range(size * factors["dilation_rate"][0], 40):
            inputs = normal((1, steps, 1), steps, "float64")
            large = convolve(inputs, kernel, padding=padding, **factors)
            small = convolve(inputs, kernel[window], padding=padding, **factors)
            same = same and large.shape == small.shape and np.allclose(large, small)
        if same:
            found = min(found, window.stop - window.start)
    return found


@pytest.mark.parametrize(
    ("name", "filters", "convolve", "paddings", "arguments"), FAMILIES
)
def test_zeros_go_and_no_output_moves(name, filters, convolve, paddings, arguments):
    """Against NumPy: outputs with the large kernel, and the smallest size that fits."""
    rank = rank_of(name)
    if "Transpose" in name and BACKEND == "torch" and KERAS < (3, 15):
        paddings = ("valid",)  # See families_test.py.
    factors = [(1, 1), (2, 1), (3, 1), (1, 2)]
    cases = list(itertools.product(paddings, factors, [(5, 1), (5, 2), (6, 1)]))
    # JAX compiles each anew; five has no factor in common with what varies.
    cases = cases[:: 5 if BACKEND == "jax" else 1]
    one_axis = reference.conv_transpose if "Transpose" in name else reference.conv
    for number, (padding, (stride, dilation), (size, zeros)) in enumerate(cases):
        keras.utils.clear_session(free_memory=False)
        steps = {"strides": (stride,) * rank, "dilation_rate": (dilation,) * rank}
        axis_steps = {k: v[:1] for k, v in steps.items()}
        if "Transpose" in name:
            steps["output_padding"] = axis_steps["output_padding"] = None
        # One axis after the other has the zeros; the others have none.
        axis = number % rank
        kernel_size = tuple(size if a == axis else 3 for a in range(rank))
        window = tuple(
            windows(size, padding)[zeros] if a == axis else slice(None)
            for a in range(rank)
        )
        model, layer = one_layer(
            name,
            filters,
            kernel_size,
            padding=padding,
            density=ring_of_zeros(kernel_size, window),
            **steps,
            **arguments,
        )
        folded, report = keras_wconv.fold(model, trim=0.0, return_report=True)
        new = folded.layers[0]
        expected = list(kernel_size)
        expected[axis] = smallest_that_moves_nothing(
            one_axis, size, padding, axis_steps, zeros
        )
        case = f"{padding} {stride} {dilation} {kernel_size} {zeros}"
        assert new.kernel_size == tuple(expected), case
        (entry,) = report.entries
        assert entry.new_kernel_size == new.kernel_size
        assert (entry.reason is None) == (
            expected[axis] == size - zeros * (1 if padding == "causal" else 2)
        ), case
        assert entry.bound == 0
        assert entry.new_weights == folded.count_params()

        kernels = [w.astype("float64") for w in layer.get_weights()[:-1]]
        kernels[0] = to_numpy(layer.effective_kernel).astype("float64")
        for extra in (0, 1):
            spatial = [(k - 1) * dilation + 1 + extra for k in kernel_size]
            inputs = normal((1, *spatial, CHANNELS), extra)
            wanted = (
                convolve(
                    inputs.astype("float64"),
                    *kernels,
                    padding=padding,
                    **steps,
                    **arguments,
                )
                + layer.get_weights()[-1]
            )
            outputs = to_numpy(folded(inputs))
            assert outputs.shape == wanted.shape, case
            # Sums of at most 200 products of about 1, in float32.
            np.testing.assert_allclose(outputs, wanted, atol=2e-4, err_msg=case)


@pytest.mark.parametrize(
    ("name", "filters", "convolve", "paddings", "arguments"), FAMILIES
)
def test_outputs_stay_within_the_bound(name, filters, convolve, paddings, arguments):
    rank = rank_of(name)
    axes = tuple(range(rank))
    for padding, tolerance, seed in itertools.product(paddings, (0.05, 0.3), range(2)):
        keras.utils.clear_session(free_memory=False)
        model, layer = one_layer(
            name,
            filters,
            (9, 7, 5)[:rank],
            padding=padding,
            density=Gaussian(1.2),
            density_trainable=True,
            density_per_channel=True,
            **arguments,
        )
        widths = layer.density.weights[0]
        widths.assign(np.log(np.random.default_rng(seed).uniform(0.5, 1, widths.shape)))
        folded, report = keras_wconv.fold(model, trim=tolerance, return_report=True)
        (entry,) = report.entries
        if padding == "valid":
            assert entry.new_kernel_size == entry.kernel_size
            assert "padding='valid'" in entry.reason
            continue
        assert entry.new_kernel_size != entry.kernel_size

        # No channel changes by more than the tolerance of its norm.
        kernel = to_numpy(layer.effective_kernel).astype("float64")
        small = to_numpy(getattr(folded.layers[0], layer.weighted_kernel))
        pads = [
            (k - n, 0) if padding == "causal" else ((k - n) // 2,) * 2
            for k, n in zip(kernel.shape, small.shape, strict=True)
        ]
        removed = kernel - np.pad(small, pads)
        if name.startswith(("Depthwise", "Separable")):
            summed = axes
        else:  # A channel is a filter, the last but one axis if transposed.
            summed = (*axes, rank + 1 if "Transpose" in name else rank)
        part, whole = (np.sqrt((k**2).sum(summed)) for k in (removed, kernel))
        assert np.all(part <= tolerance * whole * (1 + 1e-6))

        largest = 0
        for inputs in (
            np.random.default_rng(seed).uniform(-1, 1, (2, *(11,) * rank, CHANNELS)),
            np.sign(normal((2, *(11,) * rank, CHANNELS), seed)),
        ):
            difference = to_numpy(folded(inputs)) - to_numpy(model(inputs))
            largest = max(largest, np.abs(difference).max())
        assert 0 < largest <= entry.bound + 1e-4  # Rounding, as above.


@pytest.mark.parametrize("name", ["Conv1D", "DepthwiseConv2D", "Conv2DTranspose"])
def test_channels_first_are_trimmed_as_channels_last(name):
    """Its kernels have the same axes, its outputs others."""
    filters, size = () if "Depthwise" in name else (3,), (11,) * rank_of(name)
    entries = []
    for order in ("channels_last", "channels_first"):
        layer = getattr(keras_wconv, f"Weighted{name}")(
            *filters,
            size,
            padding="same",
            density=Gaussian(1.0),
            data_format=order,
            name="layer",
        )
        shape = [*(16,) * len(size), 2]
        inputs = keras.Input(shape if order == "channels_last" else shape[::-1])
        model = keras.Model(inputs, layer(inputs))
        layer.set_weights([normal(w.shape, i) for i, w in enumerate(layer.weights)])
        folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
        entries.append((report.entries[0], folded.get_layer("layer").kernel_size))
    assert entries[0] == entries[1]
    assert entries[0][0].new_kernel_size < size


def test_the_bound_is_reached():
    model, layer = one_layer(
        "Conv2D", (3,), (7, 7), padding="same", density=[0.01, 1, 1]
    )
    folded, report = keras_wconv.fold(model, trim=0.1, return_report=True)
    (entry,) = report.entries
    assert entry.new_kernel_size == (5, 5)
    removed = to_numpy(layer.effective_kernel).copy()
    removed[1:-1, 1:-1] = 0
    channel = np.abs(removed).sum((0, 1, 2)).argmax()
    inputs = np.sign(removed[..., channel])[np.newaxis]
    difference = to_numpy(model(inputs)) - to_numpy(folded(inputs))
    # At the middle, every removed tap meets an input of its sign.
    np.testing.assert_allclose(difference[0, 3, 3, channel], entry.bound, rtol=1e-3)


def test_the_widest_channel_decides():
    model, layer = one_layer(
        "DepthwiseConv1D", (), (31,), padding="same", density=Gaussian(1.0),
        density_trainable=True, density_per_channel=True,
    )  # fmt: skip
    layer.density.weights[0].assign(np.log([0.5, 4.0]))
    kernel = np.ones((31, 2, 1), "float32")
    kernel[:, 0] = 1000  # Of the whole kernel's norm, the wide channel is a trifle.
    layer.kernel.assign(kernel)
    folded = keras_wconv.fold(model, trim=0.01)
    energy = np.exp(-((np.arange(31) - 15) ** 2) / 4.0**2)
    size = next(
        31 - 2 * first
        for first in reversed(range(16))
        if 2 * energy[:first].sum() <= 0.01**2 * energy.sum()
    )
    assert folded.layers[0].kernel_size == (size,)


def test_axes_are_trimmed_each_by_itself():
    model, layer = one_layer(
        "Conv2D", (3,), (9, 9), padding="same", density=Gaussian([0.5, 2.0])
    )
    turned, turned_layer = one_layer(
        "Conv2D", (3,), (9, 9), padding="same", density=Gaussian([2.0, 0.5])
    )
    kernel, bias = layer.get_weights()
    turned_layer.set_weights([kernel.transpose(1, 0, 2, 3), bias])
    sizes = [
        keras_wconv.fold(m, trim=0.1).layers[0].kernel_size for m in (model, turned)
    ]
    assert sizes[0] == sizes[1][::-1]
    assert sizes[0][0] < sizes[0][1]


def narrow(layer_class, *arguments, padding="same", **options):
    options |= {"padding": padding, "density": Gaussian(0.5), "activation": "relu"}
    return layer_class(*arguments, **options)


def test_shared_nested_and_wrapped_layers():
    shared = narrow(keras_wconv.WeightedConv2D, 2, 9, name="shared")
    encoder = keras.Sequential(
        [
            keras.Input((None, None, 2)),
            narrow(keras_wconv.WeightedConv2D, 2, 7, name="conv"),
            layers.Conv2D(
                2, 5, padding="same", name="plain", kernel_initializer="zeros"
            ),
        ],
        name="encoder",
    )
    inputs = keras.Input((3, 10, 10, 2))
    x = layers.TimeDistributed(narrow(keras_wconv.WeightedConv2D, 2, 9, name="conv"))(
        inputs
    )
    x = layers.TimeDistributed(encoder, name="all")(x)
    x = x[:, 0] * 2
    model = keras.Model(inputs, shared(shared(x)))
    encoder.get_layer("plain").kernel.assign(np.zeros((5, 5, 2, 2)))
    folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
    sizes = {entry.name: entry.new_kernel_size for entry in report.entries}
    assert sorted(sizes) == ["all/encoder/conv", "shared", "time_distributed/conv"]
    assert set(sizes.values()) == {(3, 3)}
    assert folded.get_layer("shared").kernel_size == (3, 3)
    # A zero kernel of a convolution that was not weighted is left alone.
    plain = folded.get_layer("all").layer.get_layer("plain")
    assert plain.kernel_size == (5, 5)
    inputs = normal((2, 3, 10, 10, 2))
    outputs, expected = to_numpy(folded(inputs)), to_numpy(model(inputs))
    np.testing.assert_allclose(outputs, expected, atol=1e-2)


@keras.saving.register_keras_serializable("trimming_test")
class Two(keras.Layer):
    """Two layers of one name, which the config of their owner cannot tell apart."""

    def __init__(self, first, second, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = first, second

    def build(self, shape):
        for layer in (self.first, self.second):
            if not layer.built:  # Deserialized layers are.
                layer.build(shape)

    def call(self, inputs):
        return self.first(inputs) + self.second(inputs)

    def compute_output_shape(self, shape):
        return self.first.compute_output_shape(shape)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        both = {"first": serialize(self.first), "second": serialize(self.second)}
        return super().get_config() | both

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        both = {name: deserialize(config.pop(name)) for name in ("first", "second")}
        return cls(**both, **config)


@pytest.mark.parametrize(("names", "size"), [(("a", "b"), (3,)), (("a", "a"), (9,))])
def test_layers_made_of_layers(names, size):
    inner = [narrow(keras_wconv.WeightedConv1D, 2, 9, name=name) for name in names]
    model = keras.Sequential([keras.Input((12, 2)), Two(*inner)])
    folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
    assert folded.layers[0].first.kernel_size == size
    assert folded.layers[0].second.kernel_size == size
    reasons = [entry.reason for entry in report.entries]
    if names[0] == names[1]:
        assert all("has its name" in reason for reason in reasons)
    inputs = normal((2, 12, 2))
    outputs, expected = to_numpy(folded(inputs)), to_numpy(model(inputs))
    np.testing.assert_allclose(outputs, expected, atol=1e-2)


def test_report_counts_weights_and_multiplications():
    model = keras.Sequential(
        [
            keras.Input((10, 12, 2)),
            narrow(keras_wconv.WeightedConv2D, 3, 5, strides=2, name="dense"),
            narrow(keras_wconv.WeightedConv2DTranspose, 4, 7, strides=2, name="up"),
            narrow(keras_wconv.WeightedDepthwiseConv2D, 5, depth_multiplier=2),
            narrow(keras_wconv.WeightedSeparableConv2D, 3, 5, use_bias=False, name="s"),
            keras_wconv.WeightedConv2D(3, 1, name="point"),
        ]
    )
    plain = keras_wconv.fold(model)
    folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
    assert report.total("weights") == plain.count_params()
    assert report.total("new_weights") == folded.count_params()
    # By hand: places of the kernel times its weights, without the bias.
    places = [5 * 6, 5 * 6, 10 * 12, 10 * 12, 10 * 12]
    for network, field in ((plain, "multiplications"), (folded, "new_multiplications")):
        weights = [
            sum(w.size for w in layer.get_weights() if w.ndim > 1)
            for layer in network.layers
        ]
        expected = [p * w for p, w in zip(places, weights, strict=True)]
        assert [getattr(entry, field) for entry in report.entries] == expected
    assert [entry.name for entry in report.kept] == ["point"]
    assert "nothing to trim" in report.kept[0].reason
    assert len(report.trimmed) == 4
    lines = str(report).splitlines()
    assert lines[0] == "4 of 5 folded kernels trimmed"
    assert lines[1].startswith("  dense (5, 5) -> (3, 3): outputs within ")
    assert lines[-2] == f"weights: {plain.count_params():,} -> {folded.count_params()}"


def test_a_model_of_no_fixed_size_has_no_count_of_multiplications():
    model, _ = one_layer("Conv1D", (3,), (5,), padding="same", density=[0, 1])
    _, report = keras_wconv.fold(model, trim=0.0, return_report=True)
    assert report.entries[0].multiplications is None
    assert "multiplications" not in str(report)


def test_without_trim_all_taps_stay():
    model, layer = one_layer("Conv1D", (3,), (5,), padding="same", density=[0, 1])
    folded, report = keras_wconv.fold(model, return_report=True)
    assert folded.layers[0].kernel_size == (5,)
    assert report.entries[0].reason == "`trim` is None"
    np.testing.assert_array_equal(
        folded.layers[0].get_weights()[0], to_numpy(layer.effective_kernel)
    )


@pytest.mark.parametrize("trim", [-0.1, 1, float("nan"), "0.1", True, [0.1]])
def test_a_wrong_tolerance_is_refused(trim):
    model, _ = one_layer("Conv1D", (3,), (5,))
    with pytest.raises(ValueError, match=r"`trim` must be None or a number.*Received"):
        keras_wconv.fold(model, trim=trim)


def test_lora_is_merged_before_taps_go():
    model, layer = one_layer(
        "Conv1D", (3,), (9,), padding="same", density=Gaussian(0.5)
    )
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(normal(layer.lora_kernel_b.shape))
    folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
    assert folded.layers[0].kernel_size == (3,)
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 12, CHANNELS))
    difference = to_numpy(folded(inputs)) - to_numpy(model(inputs))
    assert 0 < np.abs(difference).max() <= report.entries[0].bound


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_effective_size_holds_the_part_of_the_norm(padding):
    _, layer = one_layer("Conv1D", (3,), (15,), padding=padding, density=Gaussian(1.5))
    norms = np.linalg.norm(to_numpy(layer.effective_kernel).reshape(15, -1), axis=1)
    for part in (0.5, 0.9, 0.99, 0.9999):
        sizes = [
            window.stop - window.start
            for window in windows(15, padding)
            if np.linalg.norm(norms[window]) >= part * np.linalg.norm(norms)
        ]
        assert effective_size(layer, part) == (min(sizes),)


def small_network():
    inputs = keras.Input((8, 8, 3), name="picture")
    x = narrow(keras_wconv.WeightedConv2D, 4, 7, strides=2)(inputs)
    x = narrow(keras_wconv.WeightedDepthwiseConv2D, 5)(x)
    x = narrow(keras_wconv.WeightedConv2DTranspose, 2, 5, strides=2)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def small_network_of_series():
    inputs = keras.Input((16, 2), name="series")
    x = narrow(keras_wconv.WeightedConv1D, 4, 9, padding="causal")(inputs)
    x = narrow(keras_wconv.WeightedSeparableConv1D, 3, 7, strides=2)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def test_a_trimmed_model_is_saved_and_loaded(tmp_path):
    folded = keras_wconv.fold(small_network(), trim=0.01)
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    assert [type(layer).__module__.split(".")[0] for layer in loaded.layers] == [
        "keras"
    ] * len(loaded.layers)
    inputs = normal((2, 8, 8, 3))
    np.testing.assert_array_equal(to_numpy(loaded(inputs)), to_numpy(folded(inputs)))


@pytest.mark.parametrize("build", [small_network, small_network_of_series])
@pytest.mark.parametrize(
    "format", [f for f in WRITTEN[BACKEND] if f in ("onnx", "litert")]
)
def test_another_runtime_computes_what_the_trimmed_model_does(format, build, tmp_path):
    suffix, run = FORMATS[format]
    if format == "onnx":
        pytest.importorskip(format)
    folded, report = keras_wconv.fold(build(), trim=0.01, return_report=True)
    assert report.trimmed
    path = str(tmp_path / f"model{suffix}")
    export(folded, path, format)
    inputs = normal((2, *folded.input_shape[1:]))
    np.testing.assert_allclose(
        run(path, inputs), to_numpy(folded(inputs)), rtol=1e-4, atol=1e-5
    )


NETWORKS = {
    "ConvNeXt": (
        lambda: applications.ConvNeXt(
            (1, 1),
            (8, 16),
            kernel_size=31,
            patch_size=2,
            layer_scale=0.1,
            input_shape=(32, 32, 3),
            classes=10,
            classifier_activation=None,
            density=Gaussian(1.5),
        ),
        2,
    ),
    "TimeSeriesResNet": (
        lambda: applications.TimeSeriesResNet(
            (8,),
            (65, 65, 65),
            input_shape=(96, 1),
            classifier_activation=None,
            density=Gaussian(3.0),
        ),
        3,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_large_network_with_a_narrow_density_becomes_small(name):
    build, count = NETWORKS[name]
    model = build()
    folded, report = keras_wconv.fold(model, trim=1e-3, return_report=True)
    assert len(report.trimmed) == len(report.entries) == count
    # In expectation over the random weights, Φ² alone says how many rings go.
    sigma, size = (1.5, 31) if name == "ConvNeXt" else (3.0, 65)
    energy = np.exp(-((np.arange(size) - size // 2) ** 2) / sigma**2)
    share = 1e-3**2 / len(report.entries[0].kernel_size)
    expected = next(
        size - 2 * first
        for first in reversed(range(size // 2))
        if 2 * energy[:first].sum() <= share * energy.sum()
    )
    for entry in report.entries:
        assert folded.get_layer(entry.name).kernel_size == entry.new_kernel_size
        # A ring more or less, since the widest of the channels decides.
        assert all(abs(new - expected) <= 2 for new in entry.new_kernel_size)
    assert report.total("new_multiplications") < report.total("multiplications") / 2
    assert folded.count_params() - model.count_params() == report.total(
        "new_weights"
    ) - report.total("weights")
    inputs = normal((4, *model.input_shape[1:]))
    outputs, expected = (one.predict(inputs, verbose=0) for one in (folded, model))
    # A thousandth of each kernel's norm was removed; the layers' changes add up.
    change = np.linalg.norm(outputs - expected) / np.linalg.norm(expected)
    assert change < 1e-3 * (count + 1)
