"""Evaluations that DIRECT-L takes to 0.01 percent: published, this one's and SciPy's.

`scipy.optimize.direct(locally_biased=True)` takes more, for a reason that is not the
algorithm's. A rectangle that is off the lower right convex hull of (size, value) is to
be rejected. In SciPy's C code, translated from Fortran, the jump that rejects it is
part of a statement that runs only if there is a log file, and there is none. So
rectangles off the hull are divided as well, without the test of epsilon. Every
evaluation counts here, for it is the training of a network.
"""

import importlib.metadata

from scipy.optimize import direct

from keras_wconv.tuning import DirectLSearch

from . import _harness
from .functions import PUBLISHED


def count(function):
    """Returns the evaluations until the iteration that comes close enough is over."""
    search = DirectLSearch(len(function.bounds), min_side=None)
    evaluations = 0
    while search.best() is None or function.percent_error(search.best()[1]) >= 0.01:
        for point in search.ask():
            search.tell(point, function.on_unit_cube(point))
            evaluations += 1
    return evaluations


def count_scipy(function):
    return direct(
        lambda x: function.function(*x),
        function.bounds,
        eps=1e-4,
        locally_biased=True,
        f_min=function.minimum,
        f_min_rtol=1e-4,
        maxfun=10_000,
        maxiter=10_000,
        vol_tol=0,
        len_tol=0,
    ).nfev


def main():
    options = _harness.parse_options(__doc__)
    scipy = f"scipy_{importlib.metadata.version('scipy')}"
    rows = [
        {
            "function": function.name,
            "dimensions": len(function.bounds),
            "published": function.evaluations,
            "keras_wconv": count(function),
            scipy: count_scipy(function),
        }
        for function in PUBLISHED
    ]
    print(_harness.save("direct_l", rows, options))


if __name__ == "__main__":
    main()
