"""Does a density help? Tasks, paired comparisons, and the search for a density."""

from . import arms, datasets
from .arms import Arm
from .classification import Classification
from .comparison import compare, train_pair
from .denoising import Denoising
from .page import Page
from .results import Effect, Results
from .search import search
from .task import Task

__all__ = [
    "Arm",
    "Classification",
    "Denoising",
    "Effect",
    "Page",
    "Results",
    "Task",
    "arms",
    "compare",
    "datasets",
    "search",
    "train_pair",
]
