"""What `make demo` shows: a large kernel that a density keeps in hand, in one minute.

A network of one kernel removes noise. It has seen four small patches of photographs, so
a large kernel has much to get wrong. Four networks are tuned with as many runs each:

- the standard one, at several kernel sizes;
- the standard one, at the largest size;
- the largest one with a density whose width DIRECT-L finds;
- the largest one with a density that is learned.

All are trained anew with other patches, folded and trimmed. The page of what came out
is runs/demo/report.html.

    python -m studies.demo
"""

import argparse
import functools
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_wconv import WeightedConv2D, fold
from keras_wconv.experiments import Denoising, Page, compare, datasets
from keras_wconv.experiments.report import figures
from keras_wconv.experiments.report.verdict import ANSWER, SIDES
from keras_wconv.experiments.tasks.batches import Batches

from . import question

SIZES = (3, 7, 15)
LARGE = max(SIZES)
PATCHES = 4
TRIALS, SEEDS, STEPS = 9, 6, 150
STANDARD, NO_DENSITY = "standard, size tuned", "standard, large"
SEARCHED, LEARNED = "width tuned", "learned"
WORDS = {  # in the order of the table
    STANDARD: "standard, size tuned",
    NO_DENSITY: f"standard, {LARGE}",
    SEARCHED: f"{LARGE}, density by DIRECT-L",
    LEARNED: f"{LARGE}, density learned",
}


class FewPatches(question.Trimmed, Denoising):
    """Denoising that knows a few noisy patches, other ones for each seed."""

    trim = 0.05  # By 0.01 the kernel stayed as slow as it was.

    def batches(self, seed):
        rng, side = np.random.default_rng((seed, PATCHES)), self.patch_size
        clean = np.empty((PATCHES, side, side, self.channels), "float32")
        for i in range(PATCHES):
            picture = self.data.train[int(rng.integers(self.data.count()))]
            y, x = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
            clean[i] = picture[y : y + side, x : x + side] / np.float32(255)
        noise = rng.standard_normal(clean.shape, dtype="float32")
        noisy = clean + noise * np.float32(self.sigma[0] / 255)
        load = lambda indices, rng: (noisy[indices], clean[indices])  # noqa: E731
        return Batches(PATCHES, PATCHES, load, seed, self.steps_per_epoch)

    def get_config(self):
        return {**super().get_config(), "patches": PATCHES}


def network(kernel_size, density=None, **density_options):
    """One kernel: each pixel becomes a weighted mean of those around it."""
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            WeightedConv2D(
                1,
                kernel_size,
                padding="same",
                density=density,
                **(density_options if density is not None else {}),
                name="kernel",
            ),
        ]
    )


def task():
    """Returns the task: noise of 25 / 255 on photographs of scikit-image."""
    return FewPatches(
        datasets.photographs(),
        epochs=1,
        batch_size=PATCHES,
        patch_size=24,
        patches_per_picture=1,
        evaluation_size=128,
        learning_rate=2e-2,
        optimizer=keras.optimizers.AdamW,
        weight_decay=1.0,
        schedule="cosine",
    ).with_steps(STEPS)


def candidates():
    """Returns the question of all studies, without the control of the scale."""
    both = question.sides(network, SIZES, LARGE)
    both["controls"] = [c for c in both["controls"] if c.name in WORDS]
    return both


def milliseconds(models, side=512, repeats=15):
    """Returns the median time of a picture for each model, measured in turns."""
    picture = np.zeros((1, side, side, 1), "float32")
    times = {name: [] for name in models}
    for model in models.values():
        model.predict_on_batch(picture)  # The first call compiles.
    for _ in range(repeats):
        for name, model in models.items():
            begin = time.perf_counter()
            model.predict_on_batch(picture)
            times[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(of_one) for name, of_one in times.items()}


def trained(results):
    """Returns the networks of the first seed: standard, learned, and it folded."""
    models = {
        results.choice(side): keras.saving.load_model(
            results.model_path(side), compile=False
        )
        for side in SIDES
    }
    return {**models, "trimmed": fold(models[LEARNED], trim=FewPatches.trim)}


def rows_of(results, times):
    """Returns the table of the page: what each network reached, and what it costs."""
    tests, trimmed = results.metrics(), results.metrics(metric="psnr_trimmed")
    counts = results.metrics(metric="multiplications")
    sizes = results.metrics(metric="kernel_size")
    rows = []
    for name, words in WORDS.items():
        # `multiplications` counts those of 64 x 64 pixels.
        rows.append(
            [
                words,
                f"{tests[name].mean():.2f} ± {tests[name].std(ddof=1):.2f}",
                f"{trimmed[name].mean():.2f}",
                f"{sizes[name].mean():.1f}",
                f"{counts[name].mean() / 64**2:.0f}",
                f"{times[name]:.1f} ms" if name in times else "–",
                f"{len(results.tried(name))} + {len(results.seeds)}",
            ]
        )
    return rows


COLUMNS = (
    "network",
    "PSNR, dB",
    "trimmed, dB",
    "its size",
    "multiplications a pixel",
    "time of a picture",
    "runs: tuning + final",
)


def sentences(results, times):
    """Returns what was gained, how much smaller it became, and what it cost."""
    answer = results.effects()[ANSWER].effect
    values = results.metrics()
    over_large = values[LEARNED] - values[NO_DENSITY]
    trimmed = results.metrics(metric="psnr_trimmed")[LEARNED] - values[LEARNED]
    taps = results.metrics(metric="multiplications")[LEARNED].mean() / 64**2
    chosen = results.values(STANDARD)["kernel_size"]
    runs = len(results.records)
    shown = {1: "better than", -1: "worse than", 0: "not shown to differ from"}
    decision = results.effects()[ANSWER].decision
    return {
        "Gained": f"The large kernel with a learned density is {shown[decision]} the "
        f"best standard network, a kernel of {chosen}: {answer.format(1, 'dB')}. "
        f"Without a density the large kernel is {over_large.mean():.2f} dB behind it.",
        "Smaller": f"Folded and trimmed, {LARGE**2} multiplications a pixel became "
        f"{taps:.0f} on average, and PSNR changed by {trimmed.mean():+.3f} dB. Nobody "
        "had to guess the size.",
        "Time": f"A picture of 512 x 512 pixels takes {times[LEARNED]:.1f} ms, "
        f"against {times[NO_DENSITY]:.1f} ms of the large kernel and "
        f"{times[STANDARD]:.1f} ms of the best standard one.",
        "Cost": f"{runs} training runs in all, {results.seconds:.0f} s: "
        f"{TRIALS} to tune each of {len(WORDS)} networks and {len(results.seeds)} "
        "final ones of each. A learned density takes as many as the standard network.",
    }


def draw(results):
    """Draws the test PSNR of every seed."""
    values = results.metrics()
    with figures.new(size=(8, 2.6)) as (figure, axes):
        for y, name in enumerate(WORDS):
            axes.plot(values[name], np.full(len(values[name]), -y), "o", alpha=0.4)
            axes.plot(values[name].mean(), -y, "|", color=figures.GRAY, markersize=18)
        axes.set_yticks(-np.arange(len(WORDS)), list(WORDS.values()))
        axes.set_xlabel("PSNR on test pictures, dB (higher is better)")
        axes.margins(y=0.2)
    return figure


def draw_kernels(models):
    """Draws the kernels as they are used: each tap's weight."""
    shown = {
        "standard": models[STANDARD].layers[0].kernel,
        "learned density: folded": fold(models[LEARNED]).layers[0].kernel,
        "and trimmed": models["trimmed"].layers[0].kernel,
    }
    with figures.new(1, len(shown), (8, 2.8)) as (figure, all_axes):
        for axes, (title, kernel) in zip(all_axes, shown.items(), strict=True):
            taps = keras.ops.convert_to_numpy(kernel)[:, :, 0, 0]
            most = np.abs(taps).max()
            axes.imshow(taps, cmap="RdBu", vmin=-most, vmax=most)
            axes.set_title(f"{title}\n{taps.shape[0]} x {taps.shape[1]}", fontsize=10)
            axes.set_axis_off()
    return figure


def page_of(results, this, models, times):
    """Returns the page to look at."""
    page = Page("A large kernel that finds its own size")
    found = sentences(results, times)
    page.verdict(found["Gained"])
    page.text(
        "A network with one convolution learns to remove noise from photographs. It is "
        f"trained on {PATCHES} patches of 24 x 24 pixels: few examples. A large kernel "
        "can see more, and with few examples it also learns more nonsense. The usual "
        "way out is to try several sizes. The other one, shown here, is a *density*: "
        "the kernel is multiplied by a map that is 1 at the center and falls off away "
        "from it. How fast it falls is found by a search (DIRECT-L), or learned "
        "with the kernel. After the training it is multiplied into the kernel for "
        "good (*folded*), and the outer rings that do next to nothing are cut off "
        "(*trimmed*). What is left is a plain Keras layer."
    )
    page.table(COLUMNS, rows_of(results, times))
    page.text(
        f"PSNR is the mean of {len(results.seeds)} runs, each with other training "
        "patches, and their standard deviation; higher is better, and the noisy input "
        f"has {results.settings['chance']['test']:.2f} dB. All choices were made on "
        "validation pictures; the test pictures were looked at once. Times are those "
        "of what would be shipped, on this machine."
    )
    page.figure("by_seed", draw(results), "Each point is one run; the bar, their mean.")
    for title in ("Smaller", "Time", "Cost"):
        page.text(f"**{title}.** {found[title]}")
    page.heading("What it does to a picture")
    _add_pictures(page, this, models)
    page.figure(
        "kernels",
        draw_kernels(models),
        "The kernels of the first seed: red taps are negative, blue ones positive.",
    )
    page.heading("How sure is it?")
    page.text(results.verdict())
    page.text(
        "All numbers, and how it was done: [the comparison](comparison/report.html)."
    )
    page.text(
        "Now with your own data: `keras-wconv compare --task my_folder --plan`. With "
        "your own model: `keras_wconv.to_weighted(model, density)`."
    )
    page.footer({"Command": "`make demo`", "Backend": keras.backend.backend()})
    return page


def _add_pictures(page, this, models):
    shown = {"standard, best size": STANDARD, "density, trimmed": "trimmed"}
    rows = []
    for version, name in shown.items():
        for i, (clean, noisy, output, row) in enumerate(this.denoise(models[name])):
            if i == len(rows):
                text = f"{row['example']}, {row['noisy_psnr']:.2f} dB"
                rows.append({"clean": (clean, row["example"]), "noisy": (noisy, text)})
            rows[i][version] = output, f"{row['example']}, {row['psnr']:.2f} dB"
    page.pictures("pictures", rows, "Test pictures, and PSNR: first seed.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    print(
        f"{len(WORDS)} networks learn to denoise from {PATCHES} small patches: "
        f"{len(WORDS) * (TRIALS + options.seeds)} training runs, about a minute.",
        flush=True,
    )
    this = task()
    run = functools.partial(
        compare,
        this,
        options.output / "comparison",
        **candidates(),
        trials=TRIALS,
        seeds=range(options.seeds),
    )
    results = run()
    if not all(results.model_path(side).exists() for side in SIDES):
        results = run(overwrite=True)  # The models were deleted.
    models = trained(results)
    times = milliseconds(
        {
            STANDARD: models[STANDARD],
            NO_DENSITY: network(LARGE),
            LEARNED: models["trimmed"],
        }
    )
    shown = (0, 1, 2, 3, 6)  # In a terminal there is no room for all.
    table = Table(*(COLUMNS[i] for i in shown), box=None, pad_edge=False)
    table.add_row("the noisy input", f"{results.settings['chance']['test']:.2f}")
    for row in rows_of(results, times):
        table.add_row(*(row[i] for i in shown))
    Console().print(table)
    for title, text in sentences(results, times).items():
        print(f"{title}: {text}")
    page_of(results, this, models, times).write(options.output)
    print(f"Look at {options.output / 'report.html'}")


if __name__ == "__main__":
    main()
