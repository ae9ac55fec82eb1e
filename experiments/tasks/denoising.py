"""Removal of additive white Gaussian noise from pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import ops

from ... import visualization
from ..._optional import require
from ...applications.dncnn import DnCNN, DnCNN17
from ...inspection import weighted_layers
from . import datasets
from .batches import Batches
from .task import Task, example_shape

if TYPE_CHECKING:
    from ..._types import PathLike, Tensor
    from .datasets import Dataset

# Without batch normalization: the batches for a laptop are too small for it.
SmallDnCNN = functools.partial(DnCNN, depth=7, filters=32, batch_normalization=False)

_MOST = 100.0  # dB, of a picture without any error; it would be infinite.
_WINDOW = 7  # Pixels per side of scikit-image's window for SSIM.


@keras.saving.register_keras_serializable(package="keras_wconv")
def psnr(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of clipped predictions, 100 dB at most.

    Args:
        y_true, y_pred: tensors of `(batch, height, width, channels)` in [0, 1].

    Returns:
        Tensor of `(batch,)`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments.tasks import denoising
    >>> clean, noisy = np.zeros((1, 8, 8, 1)), np.full((1, 8, 8, 1), 0.1)
    >>> round(float(denoising.psnr(clean, noisy)[0]), 3)
    20.0
    """
    error = ops.clip(y_pred, 0, 1) - ops.cast(y_true, y_pred.dtype)
    decibels = -10 * ops.log10(ops.mean(ops.square(error), axis=(1, 2, 3)))
    return ops.minimum(decibels, _MOST)


class Denoising(Task):
    """Removal of Gaussian noise with the squared error, measured by PSNR and SSIM.

    The network sees patches in [0, 1], turned and mirrored, with noise of deviation
    `sigma / 255`. Its input is not clipped; its output is, for the metrics. The noise
    of the validation and the test pictures is always the same. The defaults are the
    usual protocol of DnCNN.

    Args:
        data: `datasets.Dataset` of pictures.
        network: optional builder, for `model`, that takes `channels`, `density` and
            the density options, such as `applications.DnCNN17` or a
            `functools.partial` of it.
        sigma: float, deviation of the noise on a scale of 255; or `(low, high)` for
            blind training, where each patch has a deviation between the two.
        test_sigmas: floats, deviations to evaluate at; by default `sigma`, or 15, 25
            and 50 for blind training.
        batch_size: int, patches per batch.
        patch_size: int, pixels per side.
        patches_per_picture: int, how many patches of a batch come from one picture.
        steps_per_epoch: int, batches per epoch; by default all pictures once.
        loss: see `keras.Model.compile`; `"mean_absolute_error"` is also usual.
        evaluation_size: int, the side of the central square that is evaluated; None
            for whole pictures.
        epochs, learning_rate, optimizer, schedule, weight_decay,
            density_learning_rate: see `Task`.

    Raises:
        ValueError: If the data are not pictures, a picture is smaller than a patch or
            than 7 pixels, or the network does not fit them.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Denoising.photographs(epochs=1, steps_per_epoch=2)
    >>> model = task.model(density=[0.7])
    >>> task.compile(model)
    >>> history = task.fit(model, seed=0)
    >>> metrics = task.evaluate(model)
    >>> sorted(metrics)
    ['noisy_psnr', 'noisy_ssim', 'psnr', 'ssim']
    >>> round(metrics["noisy_psnr"], 1)  # 20 log10(255 / 25)
    20.2

    Source: https://arxiv.org/abs/1608.03981, section IV.
    """

    name = "denoising"
    monitor = "psnr"
    direction = "max"
    unit = "dB"
    differences = (0.05, 0.1, 0.2)
    metrics = (psnr,)
    row_keys = ("example", "sigma")

    def __init__(
        self,
        data: Dataset,
        network: Callable[..., keras.Model] | None = None,
        sigma: float | tuple[float, float] = 25.0,
        test_sigmas: Sequence[float] | None = None,
        epochs: int = 50,
        batch_size: int = 128,
        patch_size: int = 40,
        patches_per_picture: int = 16,
        steps_per_epoch: int | None = None,
        learning_rate: float = 1e-3,
        optimizer: Callable[..., keras.optimizers.Optimizer] = keras.optimizers.Adam,
        schedule: str = "steps",
        weight_decay: float | None = None,
        loss: str = "mean_squared_error",
        evaluation_size: int | None = None,
        density_learning_rate: float = 1e-2,
    ) -> None:
        if batch_size % patches_per_picture:
            raise ValueError(
                "`batch_size` must be a multiple of `patches_per_picture`. Received: "
                f"{batch_size} and {patches_per_picture}"
            )
        recipe = epochs, batch_size, learning_rate, optimizer, schedule, weight_decay
        super().__init__(data, network, *recipe, density_learning_rate)
        small = [
            f"{name} {height}x{width}"
            for part in (data.train, data.validation, data.test)
            for name, (height, width, _) in zip(part.names, part.shapes, strict=True)
            if min(height, width) < max(patch_size, _WINDOW)
        ]
        if small:
            raise ValueError(
                "`patch_size` must be at most the smallest side of every picture, and "
                f"that at least {_WINDOW} pixels, the window of SSIM. Received: "
                f"{patch_size}, and {len(small)} smaller pictures: "
                f"{', '.join(small[:5])}{', ...' if len(small) > 5 else ''}. Take them "
                "out, or give a smaller `patch_size`."
            )
        if evaluation_size is not None and evaluation_size < _WINDOW:
            raise ValueError(
                f"`evaluation_size` must be at least {_WINDOW} pixels, the window of "
                f"SSIM. Received: {evaluation_size}"
            )
        blind = np.ndim(sigma) > 0
        self.sigma = tuple(sigma) if blind else (sigma, sigma)
        self.test_sigmas = tuple(test_sigmas or ((15, 25, 50) if blind else (sigma,)))
        self.patch_size = patch_size
        self.patches_per_picture = patches_per_picture
        self.steps_per_epoch = steps_per_epoch
        self.loss = loss
        self.evaluation_size = evaluation_size
        self.channels = data.train.shapes[0][-1]
        self._chances = {}
        count = data.count("train")
        if steps_per_epoch is None and batch_size > count * patches_per_picture:
            raise ValueError(
                "`batch_size` must be at most `patches_per_picture` for each of the "
                f"{count} training pictures, {count * patches_per_picture}. Give "
                f"`steps_per_epoch` to draw pictures again. Received: {batch_size}"
            )
        self.batches(0)  # Raises if `batch_size` is not positive.

    @classmethod
    def photographs(
        cls,
        network: Callable[..., keras.Model] = SmallDnCNN,
        data: Dataset | None = None,
        **recipe: Any,
    ) -> Self:
        """Gray photographs of `datasets`, by default with a small DnCNN; for a laptop.

        Args:
            network: builder.
            data: `datasets.Dataset` of pictures; by default `datasets.photographs()`.
            **recipe: other arguments of `Denoising`.
        """
        defaults = {
            "epochs": 10,
            "batch_size": 16,
            "patches_per_picture": 1,
            "steps_per_epoch": 50,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "evaluation_size": 256,
        }
        return cls(data or datasets.photographs(), network, **{**defaults, **recipe})

    @classmethod
    def div2k(
        cls,
        network: Callable[..., keras.Model] = DnCNN17,
        channels: int = 3,
        data_dir: PathLike | None = None,
        **recipe: Any,
    ) -> Self:
        """DIV2K by the usual protocol, by default with DnCNN."""
        return cls(datasets.div2k(channels, data_dir), network, **recipe)

    def check_data(self, data: Dataset) -> Dataset | None:
        if not isinstance(data.train, datasets.Pictures):
            raise ValueError(
                "`data` must be a dataset of pictures, such as "
                f"datasets.photographs(). Received: {data.name!r}, labeled examples. "
                "They are for the task Classification."
            )

    def build(self, **options: Any) -> keras.Model:
        return self.network(channels=self.channels, **options)

    def sample(self, count: int) -> np.ndarray:
        shape = count, self.patch_size, self.patch_size, self.channels
        return np.zeros(shape, "float32")

    def check_model(self, model: keras.Model) -> None:
        shape = example_shape(model, "input_shape")
        if shape is not None and shape[:2] != (None, None):
            raise ValueError(
                f"`model` {model.name!r} must take pictures of any size: it is trained "
                "on patches and tested on pictures. Received: a network of inputs of "
                f"shape {shape}. Begin it with keras.Input((None, None, "
                f"{self.channels}))."
            )
        super().check_model(model)

    def check_output(self, model: keras.Model, shape: Sequence[int | None]) -> None:
        expected = self.sample(1).shape[1:]
        if shape != expected:
            raise ValueError(
                f"`model` {model.name!r} must return a picture of the shape of its "
                f"input. Received: {shape} for a patch of {expected}"
            )

    def batches(self, seed: int) -> Batches:
        pictures = self.data.train
        size = self.patch_size

        def patches(index, rng):
            picture = pictures[index]
            height, width, _ = picture.shape
            for _ in range(self.patches_per_picture):
                top = rng.integers(height - size + 1)
                left = rng.integers(width - size + 1)
                patch = picture[top : top + size, left : left + size]
                patch = np.rot90(patch, rng.integers(4))
                yield patch[:, ::-1] if rng.integers(2) else patch

        def load(indices, rng):
            clean = np.stack([patch for i in indices for patch in patches(i, rng)])
            clean = clean.astype("float32") / 255
            sigma = rng.uniform(*self.sigma, (len(clean), 1, 1, 1)).astype("float32")
            noise = rng.standard_normal(clean.shape, dtype="float32")
            return clean + noise * sigma / 255, clean

        count = self.batch_size // self.patches_per_picture
        return Batches(len(pictures), count, load, seed, self.steps_per_epoch)

    def validation_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns central squares of equal size, `(noisy, clean)`."""
        shapes = self.data.validation.shapes
        side = min(self.evaluation_size or 256, *(min(s[:2]) for s in shapes))
        pairs = [
            (noisy, clean)
            for sigma in self.test_sigmas
            for _, clean, noisy in self._pairs("validation", sigma, side)
        ]
        noisy, clean = zip(*pairs, strict=True)
        return np.stack(noisy), np.stack(clean)

    def evaluate(
        self, model: keras.Model, split: str = "validation"
    ) -> dict[str, float]:
        return self.average(self.measure(model, split))

    def measure(self, model: keras.Model, split: str = "test") -> list[dict[str, Any]]:
        return [row for *_, row in self.denoise(model, split)]

    def denoise(
        self, model: keras.Model, split: str = "test"
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]]:
        """Denoises the pictures of a split, one after the other.

        Args:
            model: `keras.Model`.
            split: `"validation"` or `"test"`.

        Yields:
            `(clean, noisy, output, metrics)`: three arrays of `(height, width,
            channels)`, the output clipped, and a dict of the example's name, sigma, and
            the PSNR, 100 dB at most, and SSIM by scikit-image before and after.
        """
        measure = require("skimage.metrics", extra="data")
        for sigma in self.test_sigmas:
            for name, clean, noisy in self._pairs(split, sigma, self.evaluation_size):
                output = model.predict_on_batch(noisy[None])[0].astype("float32")
                output = np.clip(output, 0, 1)
                example = name if len(self.test_sigmas) == 1 else f"{name}, {sigma:g}"
                metrics = {"example": example, "sigma": sigma}
                for prefix, picture in (("noisy_", noisy), ("", output)):
                    with np.errstate(divide="ignore"):
                        psnr = measure.peak_signal_noise_ratio(
                            clean, picture, data_range=1
                        )
                    ssim = measure.structural_similarity(
                        clean, picture, data_range=1, channel_axis=-1
                    )
                    metrics[f"{prefix}psnr"] = min(float(psnr), _MOST)
                    metrics[f"{prefix}ssim"] = float(ssim)
                yield clean, noisy, output, metrics

    def chance(self, split: str = "test") -> float:
        """Returns the PSNR of the noisy input, clipped like an output."""
        if split not in self._chances:
            values = [
                -10 * np.log10(np.mean((np.clip(noisy, 0, 1) - clean) ** 2))
                for sigma in self.test_sigmas
                for _, clean, noisy in self._pairs(split, sigma, self.evaluation_size)
            ]
            self._chances[split] = float(np.mean(values))
        return self._chances[split]

    def margin(self, split: str = "test") -> float:
        """A tenth of a dB."""
        return 0.1

    def illustrate(self, page: Any, models: Mapping[str, keras.Model]) -> None:
        """Adds PSNR and SSIM by picture, the pictures, and the densities."""
        rows, drawn = [], []
        for name, model in models.items():
            for i, (clean, noisy, output, row) in enumerate(self.denoise(model)):
                example = row["example"]
                if i == len(rows):
                    rows.append([example, row["noisy_psnr"], row["noisy_ssim"]])
                    text = f"{example}, {row['noisy_psnr']:.2f} dB"
                    pictures = {"clean": (_center(clean), example)}
                    drawn.append(pictures | {"noisy": (_center(noisy), text)})
                rows[i] += [row["psnr"], row["ssim"]]
                drawn[i][name] = _center(output), f"{example}, {row['psnr']:.2f} dB"
        names = ("noisy", *models)
        columns = [f"{name} {metric}" for name in names for metric in ("PSNR", "SSIM")]
        means = np.mean([row[1:] for row in rows], axis=0).tolist()
        page.table(["picture", *columns], [*rows, ["mean", *means]])
        side = self.evaluation_size
        of = f"central {side} x {side} pixels" if side else "whole picture"
        page.pictures(
            "pictures", drawn[:4], f"Centers of test pictures; PSNR of the {of}."
        )
        for name, model in models.items():
            if weighted_layers(model):
                figure = visualization.plot_densities(model)
                page.figure("densities", figure, f"The densities of {name}.")
                break

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sigma": list(self.sigma),
            "test_sigmas": list(self.test_sigmas),
            "patch_size": self.patch_size,
            "patches_per_picture": self.patches_per_picture,
            "evaluation_size": self.evaluation_size,
        }

    def _pairs(self, split, sigma, side):
        """Yields the name of each picture with its clean and its noisy version."""
        pictures = getattr(self.data, split)
        for index, name in enumerate(pictures.names):
            clean = pictures[index].astype("float32") / 255
            if side is not None:
                clean = _center(clean, side)
            rng = np.random.default_rng((datasets.SPLITS.index(split), index))
            noise = rng.standard_normal(clean.shape, dtype="float32")
            yield name, clean, clean + noise * np.float32(sigma / 255)


def _center(picture, side=128):
    """Returns the central square of a picture."""
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]
