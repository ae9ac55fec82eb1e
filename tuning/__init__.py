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

# Imported when first used: each needs one of two packages alone. By name the module.
_OF_KERAS_TUNER = {
    "DensityTuner": "tuner",
    "DirectL": "tuner",
    "DirectLOracle": "oracle",
}
_OF_OPTUNA = {"DirectLSampler": "optuna_sampler"}


def __getattr__(name: str) -> Any:
    if name in _OF_KERAS_TUNER:
        require("keras_tuner", extra="tuning")
    elif name in _OF_OPTUNA:
        require("optuna", extra="optuna")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = (_OF_KERAS_TUNER | _OF_OPTUNA)[name]
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
