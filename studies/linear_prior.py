"""A density on a large kernel as a prior, in the one network that has an exact answer.

A single linear kernel denoises patches. It is fitted by ridge regression, which is
training to convergence with a weight decay `lam` of the raw kernel w. With a density
the fit is

    min |y - X (Φ w)|² / n + lam |w|²  =  min |y - X K|² / n + lam |K / Φ|²,

a price on far taps that stays however long the training is. Kernels of several sizes
without a density stand against one of 15 with a Gaussian density of several widths.
`lam` is chosen on validation patches for each of them, and so are, for the answer, the
size of the one side and the width of the other. Controls: the values of the density
with its taps permuted; one factor for all taps, which is another `lam` and exactly
nothing else.

    python -m studies.linear_prior

Patches of n examples come from Train400, 800 to choose from other pictures of it, and
6,000 to report from Set12. Source of the pictures and the noise of 25/255: Zhang et
al., "Beyond a Gaussian Denoiser", https://arxiv.org/abs/1608.03981.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rich.progress import track

from keras_wconv.experiments.report.page import markdown_table
from keras_wconv.experiments.report.statistics import Effect
from keras_wconv.experiments.study.sides import permuted

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_suffix("")

SIZE = 15
SIZES = (3, 5, 7, 9, 15)
SIGMAS = (1.0, 1.5, 2.0, 3.0)
EXAMPLES = (50, 200, 1000, 8000)
NOISE = 25 / 255
LAMBDAS = np.logspace(-6, 2, 49)


def density(name):
    """Returns the map of a candidate, `(SIZE, SIZE)`; zeros are taps it lacks.

    Candidates are called `standard k`, `density sigma` and `permuted sigma`.
    """
    kind, value = name.split()
    distance = np.abs(np.arange(SIZE) - SIZE // 2)
    if kind == "standard":
        profile = (distance <= int(value) // 2).astype(float)
        return np.outer(profile, profile)
    profile = np.exp(-0.5 * np.square(distance / float(value)))
    phi = np.outer(profile, profile)
    # The center stays: a kernel that does not see its own pixel is another task.
    return permuted(phi) if kind == "permuted" else phi


CANDIDATES = (
    *(f"standard {size}" for size in SIZES),
    *(f"density {sigma}" for sigma in SIGMAS),
    *(f"permuted {sigma}" for sigma in SIGMAS),
)


def patches(pictures, count, rng):
    """Draws noisy patches and their clean centers.

    Args:
        pictures: list of arrays with values in [0, 1].
        count: int, how many.
        rng: `numpy.random.Generator`.

    Returns:
        `(inputs, targets)` of shapes `(count, SIZE * SIZE)` and `(count,)`, both less
        1/2, the middle of the range.
    """
    inputs = np.empty((count, SIZE, SIZE))
    for index in range(count):
        picture = pictures[rng.integers(len(pictures))]
        row, column = (rng.integers(size - SIZE + 1) for size in picture.shape)
        inputs[index] = picture[row : row + SIZE, column : column + SIZE] - 0.5
    targets = inputs[:, SIZE // 2, SIZE // 2].copy()
    inputs += rng.normal(0, NOISE, inputs.shape)
    return inputs.reshape(count, -1), targets


def fit(train, phi, lambdas=LAMBDAS):
    """Fits effective kernels K = Φ w by ridge regression of w, one for each lambda.

    Args:
        train: `(inputs, targets)`.
        phi: array, the density.
        lambdas: array of weight decays.

    Returns:
        An array of shape `(len(lambdas), SIZE * SIZE)`.
    """
    inputs, targets = train
    taps = np.flatnonzero(phi)
    weighted = inputs[:, taps] * phi.flat[taps]
    values, vectors = np.linalg.eigh(weighted.T @ weighted / len(targets))
    projected = vectors.T @ (weighted.T @ targets / len(targets))
    raw = projected / (np.maximum(values, 0) + lambdas[:, None]) @ vectors.T
    kernels = np.zeros((len(lambdas), phi.size))
    kernels[:, taps] = raw * phi.flat[taps]
    return kernels


def psnr(kernels, split):
    """Returns the PSNR of kernels on `(inputs, targets)`, in dB, an array."""
    inputs, targets = split
    errors = inputs @ kernels.T - targets[:, None]
    return -10 * np.log10(np.mean(np.square(errors), axis=0))


def run(pictures, examples, draw, validation=800, test=6000):
    """Fits every candidate on the same patches.

    Args:
        pictures: dict of lists of pictures, `train`, `validation` and `test`.
        examples: int, the number of training patches.
        draw: int, which decides all that is drawn.
        validation, test: int, the numbers of patches.

    Yields:
        A dict for each candidate: `examples`, `draw`, `candidate`, `lam`, and the PSNR
        on the splits, `validation` and `test`, with that of the noisy input,
        `noisy`.
    """
    rng = np.random.default_rng((examples, draw))
    train = patches(pictures["train"], examples, rng)
    choose = patches(pictures["validation"], validation, rng)
    report = patches(pictures["test"], test, rng)
    identity = np.zeros((1, SIZE**2))
    identity[0, SIZE**2 // 2] = 1
    noisy = float(psnr(identity, report)[0])
    for name in CANDIDATES:
        kernels = fit(train, density(name))
        scores = psnr(kernels, choose)
        best = int(np.argmax(scores))
        yield {
            "examples": examples,
            "draw": draw,
            "candidate": name,
            "lam": float(f"{LAMBDAS[best]:.4g}"),
            "validation": round(float(scores[best]), 4),
            "test": round(float(psnr(kernels[best : best + 1], report)[0]), 4),
            "noisy": round(noisy, 4),
        }


def chosen(rows, kind):
    """Returns the test PSNR of the candidate of a kind that validation chooses.

    Args:
        rows: list of dicts as of `run`, all of the same examples.
        kind: `"standard"`, `"density"` or `"permuted"`.

    Returns:
        An array, one value for each draw, in their order.
    """
    best = {}
    for row in rows:
        if row["candidate"].startswith(f"{kind} "):
            other = best.get(row["draw"])
            if other is None or row["validation"] > other["validation"]:
                best[row["draw"]] = row
    return np.array([best[draw]["test"] for draw in sorted(best)])


def interval(differences):
    """Returns the mean of paired differences and the half width of its 95 % interval.

    It is Student's: the differences are taken to be normal and independent.
    """
    effect = Effect.of(differences)
    return effect.mean, (effect.high - effect.low) / 2


def table(rows):
    """Returns the report in Markdown of all that was run."""
    everything = sorted({row["examples"] for row in rows})
    lines = [
        "# One linear kernel: a density on a large kernel is a prior",
        "",
        "PSNR in dB on patches of Set12, noise of 25/255, the mean over the draws of",
        "training patches. Weight decay chosen on validation patches for each column.",
        "`python -m studies.linear_prior` writes this page and `runs.jsonl`.",
        "",
    ]
    titles = [name.replace("density", f"{SIZE}, sigma") for name in CANDIDATES]
    titles = [title.replace("permuted", "permuted, sigma") for title in titles]
    psnr, differences = [], []
    for examples in everything:
        own = [row for row in rows if row["examples"] == examples]
        draws = len({row["draw"] for row in own})
        means = [
            np.mean([row["test"] for row in own if row["candidate"] == name])
            for name in CANDIDATES
        ]
        noisy = np.mean([row["noisy"] for row in own])
        cells = [f"{value:.2f}" for value in (noisy, *means)]
        psnr.append([f"{examples:,}", str(draws), *cells])

        fixed = [row for row in own if row["candidate"] == f"standard {SIZE}"]
        weighted = chosen(own, "density")
        rivals = {
            "standard of the best size": chosen(own, "standard"),
            f"standard {SIZE}": chosen(fixed, "standard"),
            "permuted": chosen(own, "permuted"),
        }
        cells = [
            "{:+.2f} ± {:.2f}".format(*interval(weighted - rival))
            for rival in rivals.values()
        ]
        differences.append([f"{examples:,}", *cells])
    lines += [
        markdown_table(["examples", "draws", "noisy", *titles], psnr),
        "",
        "Size, or sigma, chosen on the validation patches of each draw as well. Paired",
        "differences with 95 % intervals (Student's t):",
        "",
        markdown_table(
            ["examples", *(f"density - {rival}" for rival in rivals)], differences
        ),
    ]
    return "\n".join([*lines, ""])


def load(folder):
    """Reads the gray pictures of a folder in the order of their names."""
    from skimage import io

    paths = sorted(Path(folder).glob("*.png"))
    if not paths:
        raise FileNotFoundError(
            f"`--data` must hold the folders Train400 and Set12 of PNG files. Received "
            f"no pictures in {folder}"
        )
    return [io.imread(path, as_gray=True) / 255.0 for path in paths]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "denoising",
        help="folder that holds Train400 and Set12 (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER,
        help="folder of runs.jsonl and report.md (default: studies/linear_prior)",
    )
    parser.add_argument(
        "--report-only", action="store_true", help="only write the report anew"
    )
    options = parser.parse_args()
    runs = options.output / "runs.jsonl"
    if not options.report_only:
        train = load(options.data / "Train400")
        pictures = {
            "train": train[:-40],
            "validation": train[-40:],
            "test": load(options.data / "Set12"),
        }
        jobs = [
            (examples, draw)
            for examples in EXAMPLES
            for draw in range(4 if examples >= 8000 else 12)
        ]
        options.output.mkdir(parents=True, exist_ok=True)
        with runs.open("w") as file:
            for examples, draw in track(jobs, "draws"):
                for row in run(pictures, examples, draw):
                    file.write(json.dumps(row) + "\n")
    rows = [json.loads(line) for line in runs.read_text().splitlines()]
    report = table(rows)
    (options.output / "report.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
