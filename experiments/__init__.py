"""Tasks, paired comparisons of Keras models, and their reports."""

from .comparison import compare
from .find import search
from .report.page import Page
from .report.results import Results
from .report.statistics import Effect
from .study.candidate import Candidate
from .study.sides import sides
from .tasks import datasets
from .tasks.classification import Classification
from .tasks.denoising import Denoising
from .tasks.regression import Regression
from .tasks.task import Task

__all__ = [
    "Candidate",
    "Classification",
    "Denoising",
    "Effect",
    "Page",
    "Regression",
    "Results",
    "Task",
    "compare",
    "datasets",
    "search",
    "sides",
]
