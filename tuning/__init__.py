"""The search for a density: DIRECT-L, a KerasTuner oracle and tuners on it."""

from .direct_l import DirectLSearch
from .oracle import DirectLOracle
from .search_space import density
from .tuner import DensityTuner, DirectL

__all__ = ["DensityTuner", "DirectL", "DirectLOracle", "DirectLSearch", "density"]
