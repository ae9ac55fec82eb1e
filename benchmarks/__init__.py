"""What weighted convolutions and the search cost, beside what one would use instead.

`python -m benchmarks` runs all of it; `python -m benchmarks.layers --quick` runs one
under the backend that `KERAS_BACKEND` names.
"""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
