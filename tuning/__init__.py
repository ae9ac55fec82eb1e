"""The search for a density: DIRECT-L, a KerasTuner oracle and tuners on it."""

from .._optional import require
from .direct_l import DirectLSearch

require("keras_tuner", extra="tuning")

from .oracle import DirectLOracle  # noqa: E402 - what they need is named first
from .space import density  # noqa: E402
from .tuner import DensityTuner, DirectL  # noqa: E402

__all__ = ["DensityTuner", "DirectL", "DirectLOracle", "DirectLSearch", "density"]
