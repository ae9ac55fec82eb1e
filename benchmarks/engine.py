"""What the engine of the search itself takes: time and memory of 1,000 evaluations."""

import time
import tracemalloc

from keras_wconv.tuning import DirectLSearch

from . import _harness

EVALUATIONS = 1000


def search(dimensions, function):
    engine, evaluations = DirectLSearch(dimensions, min_side=None), 0
    while evaluations < EVALUATIONS:
        for point in engine.ask():
            engine.tell(point, function(point))
            evaluations += 1
    return engine


def bowl(point):
    return sum((x - 0.35) ** 2 for x in point)


def seconds(dimensions):
    values = []

    def recorded(point):
        values.append(bowl(point))
        return values[-1]

    search(dimensions, recorded)
    # Told what it was told before, so that the function is not timed.
    again = iter(values)
    begin = time.perf_counter()
    search(dimensions, lambda point: next(again))
    return time.perf_counter() - begin


def kibibytes(dimensions):
    tracemalloc.start()
    engine = search(dimensions, bowl)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del engine
    return held / 1024


def main():
    options = _harness.parse_options(__doc__)
    repeats = 3 if options.quick else 30
    rows = [
        {
            "dimensions": dimensions,
            "evaluations": EVALUATIONS,
            "milliseconds": _harness.quartiles(
                [1e3 * seconds(dimensions) for _ in range(repeats)]
            ),
            "kibibytes": kibibytes(dimensions),
        }
        for dimensions in (1, 2, 3, 6)
    ]
    print(_harness.save("engine", rows, options))


if __name__ == "__main__":
    main()
