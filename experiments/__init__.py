"""Does a density help? Tasks, paired comparisons, and the search for a density."""

from . import arms
from .arms import Arm
from .comparison import compare, train_pair
from .page import Page
from .results import Effect, Results
from .search import search
from .tasks import classification, datasets, denoising
from .tasks.classification import Classification
from .tasks.denoising import Denoising
from .tasks.regression import Regression
from .tasks.task import Task

__all__ = [
    "Arm",
    "Classification",
    "Denoising",
    "Effect",
    "Page",
    "Regression",
    "Results",
    "Task",
    "arms",
    "compare",
    "datasets",
    "search",
    "train_pair",
]
