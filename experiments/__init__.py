"""Does a density help? Tasks, paired comparisons, and the search for a density."""

from . import comparison, datasets, report, search
from .classification import Classification
from .denoising import Denoising

__all__ = [
    "Classification",
    "Denoising",
    "comparison",
    "datasets",
    "report",
    "search",
]
