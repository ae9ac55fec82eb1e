import keras
import numpy as np
import pytest
import small_tasks
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from keras_wconv.experiments import Classification, Denoising, datasets
from keras_wconv.experiments.tasks import denoising


@pytest.mark.parametrize(("sigma", "theory"), [(15, 24.61), (25, 20.17), (50, 14.15)])
def test_noisy_photographs_have_the_psnr_of_theory(sigma, theory):
    task = Denoising.photographs(sigma=sigma, evaluation_size=None)
    for split in ("validation", "test"):
        for _, clean, noisy in task._pairs(split, sigma, None):
            psnr = peak_signal_noise_ratio(clean, noisy, data_range=1)
            assert psnr == pytest.approx(theory, abs=0.05)


def test_noise_of_a_picture_is_always_the_same_and_no_other_has_it():
    task = small_tasks.denoising()
    first, again = (list(task._pairs("test", 25, None)) for _ in range(2))
    for (_, _, a), (_, _, b) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    (_, clean0, noisy0), (_, clean1, noisy1) = first
    assert np.abs((noisy0 - clean0) - (noisy1 - clean1)).max() > 0.05


def test_metric_is_that_of_scikit_image():
    rng = np.random.default_rng(0)
    clean = rng.random((3, 8, 8, 1), dtype="float32")
    output = clean + rng.normal(scale=0.3, size=clean.shape).astype("float32")
    values = keras.ops.convert_to_numpy(denoising.psnr(clean, output))
    for value, c, o in zip(values, clean, output, strict=True):
        expected = peak_signal_noise_ratio(c, np.clip(o, 0, 1), data_range=1)
        assert value == pytest.approx(expected, rel=1e-5)


def test_evaluation_is_the_mean_of_the_pictures_by_scikit_image():
    task = small_tasks.denoising()
    model = task.model()
    rows = []
    for clean, noisy, output, metrics in task.denoise(model, "test"):
        direct = np.clip(keras.ops.convert_to_numpy(model(noisy[None]))[0], 0, 1)
        np.testing.assert_allclose(output, direct, atol=1e-5)
        ssim = structural_similarity(clean, output, data_range=1, channel_axis=-1)
        assert metrics["ssim"] == pytest.approx(ssim)
        rows.append(metrics)
    evaluated = task.evaluate(model, "test")
    for key, value in evaluated.items():
        assert value == pytest.approx(np.mean([row[key] for row in rows]))
    assert set(evaluated) == {"psnr", "ssim", "noisy_psnr", "noisy_ssim"}


def test_patches_are_parts_of_the_pictures_turned_or_mirrored():
    task = small_tasks.denoising()
    _, clean = task.batches(0)[0]
    assert clean.shape == (4, 12, 12, 1) and clean.dtype == "float32"
    windows = [
        np.lib.stride_tricks.sliding_window_view(picture[..., 0], (12, 12))
        for picture in task.data.train
    ]
    for patch in np.rint(clean[..., 0] * 255):
        turns = [np.rot90(p, k) for p in (patch, patch[:, ::-1]) for k in range(4)]
        assert any((w == t).all((-1, -2)).any() for w in windows for t in turns)


def test_noise_of_the_batches():
    task = small_tasks.denoising(batch_size=64, patches_per_picture=16)
    noisy, clean = task.batches(0)[0]
    assert 255 * np.std(noisy - clean) == pytest.approx(25, rel=0.05)
    blind = small_tasks.denoising(batch_size=64, patches_per_picture=16, sigma=(0, 55))
    noisy, clean = blind.batches(0)[0]
    deviations = 255 * np.std(noisy - clean, axis=(1, 2, 3))
    assert deviations.min() < 8 and 47 < deviations.max() < 62
    assert blind.test_sigmas == (15, 25, 50)


def test_central_squares_and_whole_pictures():
    whole = small_tasks.denoising()
    square = small_tasks.denoising(evaluation_size=16)
    _, clean, _ = next(whole._pairs("test", 25, None))
    _, center, _ = next(square._pairs("test", 25, 16))
    np.testing.assert_array_equal(center, clean[4:20, 4:20])
    assert square.validation_data()[0].shape == (2, 16, 16, 1)


def test_labeled_data_are_refused():
    with pytest.raises(ValueError, match="`data` must be a dataset of pictures"):
        Denoising(datasets.digits(), small_tasks.small_dncnn)


def test_network_that_does_not_return_a_picture_is_refused():
    def network(channels, **options):
        strided = keras.layers.Conv2D(channels, 3, strides=2)
        return keras.Sequential(
            [keras.Input((None, None, channels)), strided], name="half"
        )

    with pytest.raises(ValueError, match=r"`model` 'half' must return a picture"):
        small_tasks.denoising(network).model()


def test_network_of_pictures_of_one_size_is_refused():
    def network(channels, **options):
        return small_tasks.small_vgg(
            input_shape=(16, 16, channels), classes=3, **options
        )

    with pytest.raises(ValueError, match=r"`model` 'vgg.* pictures of any size"):
        small_tasks.denoising(network).model()


def test_pictures_smaller_than_a_patch_are_named():
    with pytest.raises(ValueError, match=r"Received: 30, and 8 .*: picture0 24x24"):
        small_tasks.denoising(patch_size=30)


def test_a_picture_without_error_has_100_db_and_does_not_fail_the_run():
    """Found: one black picture, restored, made the mean infinite."""
    black = datasets.Pictures([("black", np.zeros((24, 24, 1), "uint8"))])
    data = datasets.Dataset("black", black, black, black)
    task = Denoising(data, None, patch_size=8, batch_size=2, patches_per_picture=2)
    model = keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Conv2D(1, 1, kernel_initializer="zeros"),
        ]
    )
    (row,) = task.measure(model)
    assert row["psnr"] == 100 and not task.failed(row["psnr"])
    task.compile(model)
    x, y = task.validation_data()
    value = model.evaluate(x, y, verbose=0, return_dict=True)["psnr"]
    assert value == pytest.approx(100)


def test_pictures_smaller_than_the_window_of_ssim_are_refused():
    """Found: scikit-image refused them after the training."""
    tiny = datasets.Pictures([("tiny", np.zeros((6, 9, 1), "uint8"))])
    data = datasets.Dataset("tiny", tiny, tiny, tiny)
    small = {"patch_size": 4, "batch_size": 2, "patches_per_picture": 2}
    with pytest.raises(ValueError, match=r"at least 7 pixels, .*SSIM.* tiny 6x9"):
        Denoising(data, None, **small)
    with pytest.raises(ValueError, match=r"`evaluation_size` must be at least 7"):
        small_tasks.denoising(evaluation_size=6)
    task = small_tasks.denoising(evaluation_size=7)
    assert np.isfinite(task.measure(task.model())[0]["ssim"])


def test_batches_are_of_whole_pictures():
    with pytest.raises(ValueError, match="`batch_size` must be a multiple of"):
        small_tasks.denoising(batch_size=5)
    with pytest.raises(ValueError, match=r"`batch_size` must be at most .*: 4096$"):
        small_tasks.denoising(batch_size=4096, steps_per_epoch=None)


def test_density_that_fits_no_kernel_is_refused():
    with pytest.raises(ValueError, match="fits no kernel"):
        small_tasks.denoising().model([0.2, 0.8])


def test_digits_and_photographs_say_which_task_they_are_for():
    with pytest.raises(ValueError, match="Classification"):
        Denoising(datasets.digits(), small_tasks.small_dncnn)
    with pytest.raises(ValueError, match="Denoising"):
        Classification(datasets.photographs(), small_tasks.small_vgg)


def test_chance_is_the_noisy_input_clipped_as_an_output_is():
    """A network that returns its input is measured at chance, and has failed."""
    inputs = keras.Input((None, None, 1))
    identity = keras.Model(inputs, keras.layers.Identity()(inputs))
    task = Denoising.photographs()
    for split in ("validation", "test"):
        value = task.evaluate(identity, split)["psnr"]
        assert value == pytest.approx(task.chance(split), rel=1e-5)
        assert task.failed(value, split) and task.failed(float("nan"), split)
        assert task.failed(value + 0.09, split)
        assert not task.failed(value + 0.11, split)


def test_few_pictures_without_another_copy_on_the_disk():
    task = small_tasks.denoising().with_examples(1).for_seed(3)
    (name,) = task.data.train.names
    whole = small_tasks.denoising().data.train
    np.testing.assert_array_equal(task.data.train[0], whole[whole.names.index(name)])
    noisy, clean = task.batches(0)[0]
    assert noisy.shape == clean.shape == (4, 12, 12, 1)


def test_a_subclassed_network_is_checked_with_a_patch():
    class Network(keras.Model):
        def __init__(self, filters):
            super().__init__()
            self.conv = keras.layers.Conv2D(filters, 3, padding="same")

        def call(self, inputs):
            return self.conv(inputs)

    task = small_tasks.denoising(network=None)
    task.compile(Network(1))
    with pytest.raises(ValueError, match=r"must return a picture .*\(12, 12, 2\)"):
        task.compile(Network(2))
