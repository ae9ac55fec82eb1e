"""What a user adds to a comparison takes a dozen lines."""

from keras_wconv.experiments import Results

ARM = """
from keras_wconv import experiments
from keras_wconv.applications import DnCNN

def network(density=None, **options):
    return DnCNN(depth=2, filters=4, density=density, **options)

pictures = experiments.datasets.photographs()
task = experiments.Denoising(pictures, network, epochs=1, steps_per_epoch=2)
half = experiments.Arm("half", "half start", start=lambda kernel, phi: kernel / 2)
arms = ["A", "B", half]
results = experiments.compare(task, "own_arm", [0.7], seeds=(0, 1), arms=arms)
"""

TASK = """
import keras
from keras_wconv import WeightedConv1D, experiments
class Regression(experiments.Task):
    name, loss, metrics = "regression", "mse", ("mae",)
    monitor, direction = "mae", "min"
def network(density=None, **options):
    conv = WeightedConv1D(4, 9, density=density, name="conv", **options)
    pool = keras.layers.GlobalAveragePooling1D()
    return keras.Sequential([keras.Input((128, 1)), conv, pool, keras.layers.Dense(1)])
data = experiments.datasets.time_series(train=64)
task = Regression(data, network, 1, 16, 1e-3, keras.optimizers.Adam)
results = experiments.compare(task, "own_task", "gaussian", seeds=(0, 1), arms="A,B")
"""


def run(program):
    assert len([line for line in program.splitlines() if line]) <= 12
    names = {}
    exec(program, names)
    return names["results"]


def test_an_arm_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = run(ARM)
    effect = results.effects()["half start"]
    assert effect.formula == "half - A"
    values = results.metrics("test", "psnr")
    assert effect.mean == (values["half"] - values["A"]).mean() != 0
    assert results.best("standard") == "A"  # A control never answers.


def test_a_task_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = run(TASK)
    assert isinstance(results, Results)
    assert results.metrics("test", "mae")["B"].shape == (2,)
    assert (tmp_path / "own_task" / "results.json").exists()
