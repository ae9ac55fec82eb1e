"""The planted positive: a prior must help where theory says that it does."""

import json
from importlib import util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# Not by `import studies`: the folder is no part of the package.
spec = util.spec_from_file_location("linear_prior", ROOT / "studies/linear_prior.py")
linear_prior = util.module_from_spec(spec)
spec.loader.exec_module(linear_prior)


def natural(rng, count, size=96):
    """Pictures whose amplitude falls with 1/frequency, as that of photographs does."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    pictures = []
    for _ in range(count):
        spectrum = np.fft.fft2(rng.normal(size=(size, size))) / frequency
        picture = np.fft.ifft2(spectrum).real
        pictures.append(0.5 + 0.2 * picture / picture.std())
    return pictures


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    pictures = {split: natural(rng, 12) for split in ("train", "validation", "test")}
    return [
        row
        for draw in range(6)
        for row in linear_prior.run(pictures, 50, draw, validation=400, test=1500)
    ]


def test_with_few_examples_the_density_saves_a_large_kernel(rows):
    large = [row for row in rows if row["candidate"] == "standard 15"]
    gain = linear_prior.chosen(rows, "density") - linear_prior.chosen(large, "standard")
    mean, half = linear_prior.interval(gain)
    assert mean - half > 1.0  # dB; 3.7 on photographs


def test_it_is_the_shape_that_does_it(rows):
    gain = linear_prior.chosen(rows, "density") - linear_prior.chosen(rows, "permuted")
    mean, half = linear_prior.interval(gain)
    assert mean - half > 0.5  # dB; 3.3 on photographs


def test_it_is_no_worse_than_the_best_small_kernel(rows):
    gain = linear_prior.chosen(rows, "density") - linear_prior.chosen(rows, "standard")
    mean, half = linear_prior.interval(gain)
    assert mean + half > 0


def split(examples):
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(examples, 225))
    return inputs, inputs[:, 112] + rng.normal(size=examples)


def test_the_fit_minimizes_the_loss_with_its_penalty():
    phi, lam = linear_prior.density("density 2.0"), 0.1
    inputs, targets = split(60)
    [kernel] = linear_prior.fit((inputs, targets), phi, np.array([lam]))
    # The gradient of |y - X K|² / n + lam |K / Φ|², which is 0 at the minimum.
    slope = inputs.T @ (inputs @ kernel - targets) / len(targets)
    np.testing.assert_allclose(slope + lam * kernel / phi.ravel() ** 2, 0, atol=1e-9)


def test_one_factor_is_another_weight_decay():
    ones = linear_prior.density("standard 15")
    train = split(60)
    weighted = linear_prior.fit(train, 0.5 * ones, np.array([0.1]))
    plain = linear_prior.fit(train, ones, np.array([0.1 / 0.5**2]))
    np.testing.assert_allclose(weighted, plain, atol=1e-12)


def test_permuted_densities_have_the_same_values_elsewhere():
    phi = linear_prior.density("density 1.5")
    other = linear_prior.density("permuted 1.5")
    np.testing.assert_array_equal(np.sort(phi, None), np.sort(other, None))
    assert other[7, 7] == 1 and not np.allclose(phi, other)


def test_the_report_is_that_of_the_runs():
    folder = ROOT / "studies" / "linear_prior"
    runs = (folder / "runs.jsonl").read_text().splitlines()
    report = linear_prior.table([json.loads(run) for run in runs])
    assert report == (folder / "report.md").read_text()
