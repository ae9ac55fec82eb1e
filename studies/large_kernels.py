"""Study I: kernels of 31x31 and of 65 that learn their size, are folded and trimmed.

A ConvNeXt with depthwise kernels of 31x31 learns from 1,000 pictures of Fashion-MNIST
and is tested on 2,000; the network of the series has kernels of 65 and learns OSULeaf.
Each has a learned density, without and with a price on its size. The report has the
accuracy of the network as it was trained, folded, and trimmed; the sizes by layer; the
multiplications; and the time of inference, measured in turns with the network that was
not trimmed. The standard network of the same size stands beside it.

python -m studies.large_kernels [--data FOLDER] [--seeds N] [--only NAME]
"""

import json

import keras
import numpy as np

from benchmarks import _harness, _steps
from keras_wconv import applications, densities, fold, regularizers
from keras_wconv.experiments.report.page import markdown_table

from . import fashion, question, series

FOLDER = question.HERE / "large_kernels"
NAMES = ("ConvNeXt", "series")
TRIMS = (0.01, 0.05)
PRICE = 1e-3
TESTED = 2_000  # Large depthwise kernels are slow on a CPU.


def convnext(size, **options):
    """One block with a depthwise convolution on whole pictures of 28x28."""
    return applications.ConvNeXt(
        (1,),
        (8,),
        kernel_size=size,
        patch_size=1,
        layer_scale=1.0,
        input_shape=(28, 28, 1),
        classes=10,
        **options,
    )


def question_of(name, folder):
    """Returns the task of a network, the function that builds it, and its size."""
    if name == "series":
        task, build, _ = series.question_of("OSULeaf")
        return task, build, 65
    task = fashion.task(folder, TESTED).with_examples(1000).with_steps(300)
    return task, convnext, 31


LEARNED = {"density": densities.Gaussian(), "density_trainable": True}
TRAINED = {
    "standard": {},
    "learned": LEARNED,
    "with a price": LEARNED | {"density_regularizer": regularizers.KernelSize(PRICE)},
}


def run(task, build, size, seed):
    """Trains the networks; yields a row for each form that they are shipped in."""
    task = task.for_seed(seed)
    for name, options in TRAINED.items():
        keras.utils.set_random_seed(seed)
        model = build(size, **options)
        task.compile(model)
        task.fit(model, seed)
        forms, times, shipped = {name: model}, {}, {}
        if name == "with a price":
            shipped["folded"] = fold(model)
            for trim in TRIMS:
                shipped[f"trimmed {trim:g}"] = fold(model, trim=trim)
            forms |= shipped
        if shipped and seed == 0:
            inputs = _steps.random_batch(32, *model.input_shape[1:])
            steps = {
                form: _steps.inference(one, inputs) for form, one in shipped.items()
            }
            measured = _harness.compare(steps, seconds=10)
            times = {row["variant"]: row["ratio"] for row in _harness.ratios(measured)}
        for form, one in forms.items():
            task.compile(one)
            yield {
                "seed": seed,
                "form": form,
                "accuracy": round(task.evaluate(one, "test")["accuracy"], 4),
                "sizes": [list(c.kernel_size) for c in question.convolutions(one)],
                "multiplications": question.multiplications(one),
                **({"time": times[form]} if form in times else {}),
            }


def read():
    """Returns the rows of all that was run."""
    path = FOLDER / "runs.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(rows):
    """Returns the report in Markdown of all that was run."""
    parts = [
        "# Kernels of 31x31 and of 65 that find their size",
        "",
        "Accuracy on the test split in %, mean and standard deviation over the seeds; "
        "sizes by layer of seed 0; multiplications and time of inference (batch of 32, "
        "median and quartiles of ratios in turns) relative to the network that was not "
        "trimmed. Multiplications of layers of one tap are not counted. ConvNeXt "
        "learns Fashion-MNIST, the series are OSULeaf; the price is "
        f"`KernelSize({PRICE:g})`, nothing is tuned. `python -m studies.large_kernels` "
        "writes this page and `runs.jsonl`.",
    ]
    for network in NAMES:
        own = [row for row in rows if row["network"] == network]
        if not own:
            continue
        whole = next(row for row in own if row["form"] == "folded")["multiplications"]
        lines = []
        for form in dict.fromkeys(row["form"] for row in own):
            of_form = [row for row in own if row["form"] == form]
            values = 100 * np.array([row["accuracy"] for row in of_form])
            first = of_form[0]
            sizes = ", ".join("x".join(map(str, size)) for size in first["sizes"])
            cost = np.mean([row["multiplications"] for row in of_form]) / whole
            time = first.get("time")
            lines.append(
                [
                    form,
                    f"{values.mean():.1f} ± {values.std(ddof=1):.1f}",
                    sizes,
                    f"{cost:.2f}",
                    "{median:.2f} ({lower:.2f} to {upper:.2f})".format(**time)
                    if time
                    else "\N{EN DASH}",
                ]
            )
        columns = ["network", "accuracy", "sizes", "multiplications", "time"]
        count = len({row["seed"] for row in own})
        parts += [
            "",
            f"## {network}, {count} seeds",
            "",
            markdown_table(columns, lines),
        ]
    return "\n".join([*parts, ""])


def main():
    options = question.arguments(__doc__.partition("\n")[0], NAMES, data=fashion.FOLDER)
    FOLDER.mkdir(exist_ok=True)
    rows, path = read(), FOLDER / "runs.jsonl"
    done = {(row["network"], row["seed"]) for row in rows}
    for name in options.only or NAMES:
        task, build, size = question_of(name, options.data)
        for seed in range(options.seeds):
            if (name, seed) in done:
                continue
            for row in run(task, build, size, seed):
                rows.append({"network": name, **row})
                print(rows[-1], flush=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (FOLDER / "report.md").write_text(report(rows))


if __name__ == "__main__":
    main()
