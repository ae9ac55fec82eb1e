"""The functions that global optimizers are compared on: Dixon and Szegö (1978).

Their constants and optima are those of Gablonsky, "DIRECT Version 2.0 User Guide"
(CRSC-TR01-08), appendix B; `evaluations` is table 4 there, DIRECT-L to 0.01 percent.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable

# Python's own sum is more exact since 3.12: equal values would be other ones there.
_sum = functools.partial(functools.reduce, operator.add)

_SHEKEL_A = (
    (4, 4, 4, 4),
    (1, 1, 1, 1),
    (8, 8, 8, 8),
    (6, 6, 6, 6),
    (3, 7, 3, 7),
    (2, 9, 2, 9),
    (5, 5, 3, 3),
    (8, 1, 8, 1),
    (6, 2, 6, 2),
    (7, 3.6, 7, 3.6),
)
_SHEKEL_C = (0.1, 0.2, 0.2, 0.4, 0.4, 0.6, 0.3, 0.7, 0.5, 0.5)
_HARTMAN_C = (1, 1.2, 3, 3.2)
_HARTMAN3_A = ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
_HARTMAN3_P = (
    (0.3689, 0.117, 0.2673),
    (0.4699, 0.4387, 0.747),
    (0.1091, 0.8732, 0.5547),
    (0.03815, 0.5743, 0.8828),
)
_HARTMAN6_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMAN6_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    function: Callable
    bounds: tuple
    minimum: float
    evaluations: int

    def on_unit_cube(self, point):
        return self.function(
            *(
                low + (high - low) * u
                for u, (low, high) in zip(point, self.bounds, strict=True)
            )
        )

    def percent_error(self, value):
        return 100 * (value - self.minimum) / abs(self.minimum)


def quadratic(x, y):
    return 10 + (x - 5.3) ** 2 + (y - 7.8) ** 2


def branin(x, y):
    return (
        (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def shekel(terms):
    def function(*x):
        return -_sum(
            1 / (_sum((xi - ai) ** 2 for xi, ai in zip(x, a, strict=True)) + c)
            for a, c in zip(_SHEKEL_A[:terms], _SHEKEL_C[:terms], strict=True)
        )

    return function


def hartman(exponents, centers):
    def function(*x):
        return -_sum(
            c
            * math.exp(
                -_sum(
                    a * (xi - p) ** 2 for xi, a, p in zip(x, row, center, strict=True)
                )
            )
            for c, row, center in zip(_HARTMAN_C, exponents, centers, strict=True)
        )

    return function


def goldstein_price(x, y):
    return (
        1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    ) * (
        30
        + (2 * x - 3 * y) ** 2
        * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    )


def six_hump_camel(x, y):
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


def shubert(x, y):
    def factor(z):
        return _sum(j * math.cos((j + 1) * z + j) for j in range(1, 6))

    return factor(x) * factor(y)


PUBLISHED = (
    Function("Quadratic", quadratic, ((0, 10),) * 2, 10, 65),
    Function("Branin", branin, ((-5, 10), (0, 15)), 0.39788735772973816, 159),
    Function("Shekel5", shekel(5), ((0, 10),) * 4, -10.153199679058231, 147),
    Function("Shekel7", shekel(7), ((0, 10),) * 4, -10.402940566818664, 141),
    Function("Shekel10", shekel(10), ((0, 10),) * 4, -10.536409816692023, 139),
    Function(
        "Hartman3", hartman(_HARTMAN3_A, _HARTMAN3_P), ((0, 1),) * 3, -3.862782, 111
    ),
    Function(
        "Hartman6", hartman(_HARTMAN6_A, _HARTMAN6_P), ((0, 1),) * 6, -3.322368, 295
    ),
    Function("Goldstein-Price", goldstein_price, ((-2, 2),) * 2, 3, 115),
    Function("Six-hump camel", six_hump_camel, ((-3, 3), (-2, 2)), -1.0316284535, 191),
    Function("Shubert", shubert, ((-10, 10),) * 2, -186.7309088310239, 2043),
)
