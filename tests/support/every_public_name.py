"""Uses every public name as a user would. Type checkers read it, nobody runs it."""

import functools
from pathlib import Path
from typing import assert_type

import keras
import keras_tuner as kt
import matplotlib.figure
import numpy as np
import optuna
from rich.console import Console

import keras_wconv
from keras_wconv import (
    applications,
    callbacks,
    conversion,
    densities,
    experiments,
    export,
    inspection,
    layers,
    optimizers,
    pytorch,
    regularizers,
    trimming,
    tuning,
    visualization,
)
from keras_wconv.experiments import Candidate, datasets

# === Layers ===

layer = keras_wconv.WeightedConv2D(
    8,
    (5, 5),
    padding="same",
    activation=keras.ops.relu,
    kernel_initializer=keras.initializers.HeNormal(),
    kernel_regularizer=layers.EffectiveKernelRegularizer("l2"),
    kernel_constraint=layers.EffectiveKernelConstraint(keras.constraints.NonNeg()),
    density=[0.2, 0.8],
    normalize_density=True,
    density_trainable=True,
    density_per_channel=True,
    density_regularizer=regularizers.KernelSize(1e-3),
    density_constraint="non_neg",
    name="first",
    dtype="float16",
)
keras_wconv.WeightedConv1D(8, 3, 2, "causal", density=0.7)
keras_wconv.WeightedConv3D(8, 3, groups=2, density=np.ones((3, 3, 3)))
keras_wconv.WeightedConv1DTranspose(8, 3, 2, density=densities.Gaussian)
keras_wconv.WeightedConv2DTranspose(8, (3, 5), density=[[0.7], [0.2, 0.8]])
keras_wconv.WeightedConv3DTranspose(8, 3, output_padding=None, density="gaussian")
keras_wconv.WeightedDepthwiseConv1D(3, depth_multiplier=2, density=None)
keras_wconv.WeightedDepthwiseConv2D(3, depthwise_initializer="zeros", density=[1.0])
keras_wconv.WeightedSeparableConv1D(8, 3, pointwise_regularizer="l2", density=0.7)
keras_wconv.WeightedSeparableConv2D(8, 3, density=densities.Map(np.ones((3, 3))))
assert_type(layer.density_map, np.ndarray)
assert_type(layer.density_profiles, list[np.ndarray])
assert_type(layer.density_trainable, bool)
layer.effective_kernel.shape
held: layers.LayerDensity | None = layer.density
if isinstance(held, layers.LearnedDensity | layers.HeldDensity | layers.StepDensity):
    held.assign([0.3, 0.9])
    assert_type(held.values(), dict[str, np.ndarray])
elif isinstance(held, layers.FixedDensity):
    held.map_value(normalize=False).sum()
family: type[layers.WeightedConvolution] = keras_wconv.WeightedConv2D

# These are mistakes, each of which a checker has to find.
keras_wconv.WeightedConv2D(8, 3, normalize_density="no")  # pyright: ignore[reportArgumentType]
keras_wconv.WeightedConv2D(kernel_size=3)  # pyright: ignore[reportCallIssue]
keras_wconv.WeightedConv2D("8", 3)  # pyright: ignore[reportArgumentType]
keras_wconv.WeightedDepthwiseConv2D(3, density=object())  # pyright: ignore[reportArgumentType]
applications.ResNet20(density_trainable="yes")  # pyright: ignore[reportArgumentType]
applications.VGG16(clases=10)  # pyright: ignore[reportCallIssue]

# === Densities ===

assert_type(densities.get("gaussian"), densities.Density | None)
config = densities.serialize(densities.Separable([0.2, 0.8]))
densities.deserialize(config)
density = densities.Radial("inverse", scale=2.0)
assert_type(density((3, 3)), np.ndarray)
densities.normalize(density((3, 3)))
densities.lines_through_center(density((3, 3)))[0].tolist()
assert_type(densities.num_coefficients(5, causal=True), int)
densities.tap_distances(5).tolist()
densities.PUBLISHED[3]

# === Conversion and inspection ===

plain = applications.VGG16(weights=None, density={3: [0.7], (1, 7): "gaussian"})
weighted = keras_wconv.to_weighted(plain, 0.7, density_trainable=True)
assert_type(weighted, keras.Model)
weighted.compile(optimizers.density_optimizer("adam", 1e-2), loss="mse")
optimizers.DensityOptimizer(keras.optimizers.Adam(), keras.optimizers.SGD(0.1))
optimizers.published_optimizer(steps_per_epoch=10)
weighted, converted = keras_wconv.to_weighted(
    plain, lambda name, size: [0.7] if size == (3, 3) else None, return_report=True
)
assert_type(converted, conversion.ConversionReport)
folded, report = keras_wconv.fold(weighted, trim=0.01, return_report=True)
assert_type(report, trimming.FoldReport)
assert_type(keras_wconv.fold(weighted, in_place=True), keras.Model)
for one in inspection.weighted_layers(weighted).values():
    print(one.name, one.kernel_size, inspection.effective_size(one, part=0.9))
inspection.learned_layers(weighted).keys()
inspection.find_layers(weighted, lambda found: found.name == "first")
inspection.centered(5, "same")
pytorch.load_state_dict(weighted, {"conv.weight": np.ones((8, 3, 3, 3))})
try:
    paths = export.export(folded, "model.onnx", format="onnx")
    assert_type(paths, list[Path])
except export.ExportError as error:
    print(error)

# === Pictures and callbacks ===

logger = callbacks.DensityLogger(Path("densities.csv"))
scaling = callbacks.SpatialGradientScaling(np.ones((2, 8, 8, 3)), every=2, power=0.5)
weighted.fit(np.ones((2, 8, 8, 3)), callbacks=[logger, scaling])
kernels, densities_of = optimizers.share_out(weighted.variables, [1, 2])
regularizers.effective_taps(np.ones((3, 3, 1, 8)), rank=2)
visualization.summary(weighted, console=Console())
print(visualization.fold_table(report), visualization.gain(layer))
figure = visualization.plot_densities(weighted)
assert_type(figure, matplotlib.figure.Figure)
visualization.draw_map(figure.axes[0], layer.density_map)
visualization.plot_history(logger.history).savefig("history.png")
visualization.plot_sizes(logger.sizes).savefig("sizes.png")
visualization.plot_search({"d1": [1.0, 0.7]}, [20.0, None], direction="max")

# === Networks ===

shape = (32, 32, 3)
applications.VGG((1, 2), filters=(4, 8), density=[0.7], density_trainable=True)
applications.VGG11(include_top=False, pooling="avg", input_shape=(None, None, 3))
applications.VGG13(batch_normalization=True, hidden_units=(), classes=10)
applications.VGG19(dropout=0.5, classifier_activation=None, name="mine")
applications.ResNet((1, 1), (8, 16), stem="cifar", shortcut="padding")
applications.ResNet18(filters=(8, 16, 32, 64))
applications.ResNet32(classes=100, density="gaussian", normalize_density=None)
applications.ConvNeXt((1, 1), (8, 16), kernel_size=(7, 9), layer_scale=1e-6)
applications.ConvNeXtAtto(kernel_size=31, drop_path_rate=0.1, input_shape=shape)
applications.DnCNN(depth=3, filters=8, density=lambda name, size: [0.7])
applications.DnCNN17(kernel_size=5, channels=3)
applications.NAFNet(8, (1,), 1, (1,), density={3: [0.7]})
applications.NAFNetSIDD(8, channels=1, weights=Path("weights.h5"))
applications.NAFNetGoPro(width=8)
applications.R3D((1,), filters=(8,), classes=4)
applications.R3D18(input_shape=(16, 112, 112, 3))
applications.TimeSeriesResNet((8,), kernel_sizes=(9, 5, 3), classes=3)
applications.UNet3D((8, 16), classes=2, density=[0.7])
variants = [
    applications.ConvNeXtBase,
    applications.ConvNeXtFemto,
    applications.ConvNeXtNano,
    applications.ConvNeXtPico,
    applications.ConvNeXtSmall,
    applications.ConvNeXtTiny,
    applications.DnCNN20,
    applications.ResNet34,
    applications.ResNet44,
    applications.ResNet50,
    applications.ResNet56,
    applications.ResNet101,
    applications.ResNet152,
]
for variant in variants:
    variant(density=None, input_shape=None).summary()

# === The search ===


def build(hp: kt.HyperParameters) -> keras.Model:
    found = tuning.density(hp, kernel_size=5, ranges=[(0.05, 1.0), (0.5, 1.5)])
    model = applications.DnCNN(depth=3, density=found)
    model.compile("adam", "mse")
    return model


tuner = tuning.DirectL(
    build, "val_loss", max_trials=20, directory="searches", overwrite=True
)
tuner.search(np.ones((4, 8, 8, 1)), np.ones((4, 8, 8, 1)), epochs=1)
tuning.DensityTuner(tuning.DirectLOracle(kt.Objective("val_psnr", "max")), build)
visualization.plot_search(tuner)
search = tuning.DirectLSearch(2)
for point in search.ask():
    search.tell(point, sum(point))
best = search.best()
if best is not None:
    assert_type(best[1], float)
study = optuna.create_study(sampler=tuning.DirectLSampler())
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
visualization.plot_search(study)

# === Experiments ===

data = datasets.Dataset("mine", (np.ones((9, 8, 8, 1)), np.arange(9)), 0.2, 0.2)
for loaded in (
    data.take([0, 1, 2]),
    data.resampled(seed=1),
    datasets.digits(),
    datasets.mnist(),
    datasets.time_series(train=30),
    datasets.volumes(size=8),
    datasets.photographs(channels=3),
    datasets.image_folder("pictures", channels=3),
    datasets.class_folder(Path("classes"), image_size=64),
    datasets.npz("arrays.npz"),
    datasets.csv("series.csv", test=0.3),
    datasets.ucr("ArrowHead"),
    datasets.fashion_mnist(),
    datasets.cifar10(),
    datasets.cifar100(data_dir="downloads"),
    datasets.div2k(channels=1),
):
    assert_type(loaded, datasets.Dataset)
task = experiments.Classification(data, applications.VGG16, epochs=2, pad=4, flip=True)
assert_type(experiments.Classification.digits(epochs=1), experiments.Classification)
tasks: list[experiments.Task] = [
    task,
    experiments.Denoising.photographs(sigma=(5.0, 50.0)),
    experiments.Regression(data, schedule="cosine"),
]
model = task.model(density=[0.7], density_trainable=True)
task.compile(model, learning_rate=0.1)
task.fit(model, seed=1, validate=True).history["loss"]
assert_type(task.evaluate(model, "test"), dict[str, float])
sides = experiments.sides(
    functools.partial(applications.DnCNN, depth=3),
    search=functools.partial(tuning.density, kernel_size=3),
    controls=["one factor"],
)
results = experiments.compare(
    task,
    "folder",
    baseline=Candidate("standard", build, tune=("learning_rate",)),
    proposal=[Candidate("weighted", build, initial="he_normal")],
    controls=sides["controls"],
    seeds=range(6),
    callbacks=lambda name: [keras.callbacks.TensorBoard(f"logs/{name}")],
)
results = experiments.search(task, Path("folder"), kernel_size=(3, 5), trials=9)
assert_type(results, experiments.Results)
assert_type(results.verdict(), str)
effect = next(iter(results.effects().values())).effect
assert_type(effect, experiments.Effect)
experiments.Results.load("folder").save()
page = experiments.Page("Mine")
page.table(["name", "value"], [["one", 1.0]])
page.figure("effects", results.plot(), "The effects.")
assert_type(page.to_html(), str)
