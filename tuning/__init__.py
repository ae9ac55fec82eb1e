"""The search for a density: DIRECT-L, a KerasTuner oracle and tuners on it."""

from .direct_l import DirectLSearch
from .oracle import DirectLOracle

__all__ = ["DirectLOracle", "DirectLSearch"]
