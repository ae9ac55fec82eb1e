"""The search for a density: DIRECT-L, in KerasTuner and in Optuna."""

import importlib
from typing import TYPE_CHECKING, Any

from .._optional import require
from .density_space import density
from .direct_l import DirectLSearch

if TYPE_CHECKING:
    from .optuna_sampler import DirectLSampler
    from .oracle import DirectLOracle
    from .tuner import DensityTuner, DirectL

__all__ = [
    "DensityTuner",
    "DirectL",
    "DirectLOracle",
    "DirectLSampler",
    "DirectLSearch",
    "density",
]

# Imported when first used: module, the package that it needs, the extra that brings it.
_LAZY = {
    "DensityTuner": ("tuner", "keras_tuner", "tuning"),
    "DirectL": ("tuner", "keras_tuner", "tuning"),
    "DirectLOracle": ("oracle", "keras_tuner", "tuning"),
    "DirectLSampler": ("optuna_sampler", "optuna", "optuna"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, package, extra = _LAZY[name]
    require(package, extra=extra)
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
