"""What changed is another run; what is called otherwise is the same one."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from made_study import Stripes, functional, sequential

from keras_wconv import WeightedConv2D
from keras_wconv.experiments.study import identity


def lines(model):
    return identity.describe_model(model)


@pytest.mark.parametrize("build", [sequential, functional])
def test_automatic_names_are_no_part_of_it(build):
    assert lines(build()) == lines(build())


def test_what_differs_in_a_config_differs():
    assert lines(sequential()) != lines(sequential(size=5))
    assert lines(sequential()) != lines(sequential(kernel_initializer="zeros"))
    assert lines(sequential(kernel_regularizer="l2")) != lines(sequential())
    frozen = sequential()
    frozen.layers[0].trainable = False
    assert lines(frozen) != lines(sequential())


def test_a_density_is_part_of_it():
    def model(density):
        layer = WeightedConv2D(2, 3, density=density)
        return keras.Sequential([keras.Input((6, 6, 1)), layer])

    assert lines(model([0.5])) != lines(model([0.6]))
    assert lines(model([0.5])) == lines(model([0.5]))


def net(factor):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return factor * self.head(x)

    model = Net()
    model(np.zeros((1, 4)))
    return model


def other_net():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(x) + 1

    model = Net()
    model(np.zeros((1, 4)))
    return model


def test_the_code_of_ones_own_classes_is_part_of_it():
    """A subclassed model's config says nothing of its `call`."""
    assert lines(net(2.0)) == lines(net(2.0))
    assert lines(net(2.0)) != lines(net(3.0))
    assert lines(net(2.0)) != lines(other_net())


def test_the_code_of_ones_own_functions_is_part_of_it():
    def twice(x):
        return 2 * x

    def thrice(x):
        return 3 * x

    def model(function):
        dense = keras.layers.Dense(2, activation=function)
        return keras.Sequential([keras.Input((4,)), dense])

    assert lines(model(twice)) == lines(model(twice))
    assert lines(model(twice)) != lines(model(thrice))


def masked(mask, **attributes):
    class Masked(keras.layers.Layer):
        level = attributes.pop("level", 0)

        def __init__(self):
            super().__init__()
            self._mask = mask
            self.label = self.name  # An automatic name.
            self.options = attributes

        @property
        def mask(self):
            return self._mask

        def call(self, x):
            return x * keras.ops.convert_to_tensor(self.mask, x.dtype) + self.level

    return keras.Sequential([keras.Input((np.size(mask),)), Masked()])


def test_what_the_code_of_a_layer_reads_is_part_of_it():
    """Attributes are in no config, and two candidates may differ by them alone."""
    ones, zeros = np.ones(4), np.zeros(4)
    assert lines(masked(ones)) == lines(masked(ones.copy()))
    assert lines(masked(ones)) != lines(masked(zeros))
    assert lines(masked(np.ones(2000))) != lines(masked(np.arange(2000)))
    assert lines(masked(1)) != lines(masked(2))
    assert lines(masked(1, level=2)) != lines(masked(1))
    assert lines(masked(1, options={"a": [1]})) != lines(masked(1, options={"a": [2]}))


def from_file(name, factor=2, power=1):
    """A function as a file or a cell of a notebook has it."""
    space = {"FACTOR": factor, "__name__": "mine"}
    text = f"def power(x): return x ** {power}\ndef f(x): return FACTOR * power(x)"
    exec(compile(text, name, "exec"), space)
    layer = keras.layers.Lambda(space["f"])
    return keras.Sequential([keras.Input((4,)), layer])


def test_what_a_function_reads_is_part_of_it_and_its_file_is_not():
    first = lines(from_file("/tmp/ipykernel_1/1.py"))
    assert lines(from_file("/tmp/ipykernel_2/1.py")) == first
    assert lines(from_file("1.py", factor=3)) != first
    assert lines(from_file("1.py", power=2)) != first


def test_docstrings_and_comments_are_no_part_of_it():
    """Who explains a task better has not made another one."""

    def described(text):
        space = {"__name__": "mine"}
        exec(compile(text, "1.py", "exec"), space)
        return identity.describe_code(space["T"], space["f"])

    plain = """
class T:
    def fit(self, x, y):
        return x - y if x is not None else None
def f(x):
    return [i for i in x]
"""
    explained = """
class T:
    'A task.'
    def fit(self, x, y):
        'Fits.'

        # The first counts.
        return x - y if x is not None else None
def f(x):
    'Lists.'
    return [i for i in x]
"""
    assert described(plain) == described(explained)
    changes = {
        "x - y": "y - x",
        "self, x, y": "self, y, x",
        "x, y)": "x, *y)",
        "[i for": "[-i for",
        "else None": "else 1",
    }
    for before, after in changes.items():
        assert described(plain) != described(plain.replace(before, after)), after


def test_it_is_the_same_in_every_process():
    """Sets have another order there, and functions another address."""
    script = """
import keras
from keras_wconv.experiments.study import identity
class Chosen(keras.layers.Layer):
    def call(self, x, function=keras.ops.relu):
        return function(x) if self.dtype in {"a", "b", "c", "d", "e"} else x
model = keras.Sequential([keras.Input((4,)), Chosen()])
print(identity.describe_model(model))
"""
    printed = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", "-c", script]
        run = subprocess.run(command, env=environment, capture_output=True, check=True)
        printed.add(run.stdout)
    assert len(printed) == 1


def test_the_recipe_is_what_a_model_was_compiled_with():
    def recipe(optimizer, loss):
        model = sequential()
        model.compile(optimizer, loss)
        return identity.describe_recipe(model)

    adam = keras.optimizers.Adam
    first = recipe(adam(1e-3), "mse")
    assert first == recipe(adam(1e-3), "mse")
    assert first != recipe(adam(1e-2), "mse")
    assert first != recipe(adam(1e-3), "mae")
    assert first != recipe(keras.optimizers.SGD(1e-3), "mse")
    decay = keras.optimizers.schedules.CosineDecay(1e-3, 100)
    assert recipe(adam(decay), "mse") != first


def test_a_loss_of_ones_own_is_known_by_its_attributes_and_not_by_its_name():
    class Scaled(keras.losses.Loss):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, y_true, y_pred):
            return self.factor * keras.ops.mean(y_pred - y_true, axis=-1)

    first, again, other = map(Scaled, (1.0, 1.0, 2.0))
    assert identity.describe_code(first) == identity.describe_code(again)
    assert identity.describe_code(first) != identity.describe_code(other)
    assert identity.describe_code("mse", keras.losses.MeanSquaredError()) is None
    configs = []
    for loss in (first, again):
        task = Stripes()
        task.loss = loss
        configs.append(task.get_config())
    assert configs[0] == configs[1]


def test_the_attributes_of_a_task_are_those_of_its_init():
    """What its other methods assign is no setting, and what the config has is known."""

    class Own(Stripes):
        def __init__(self, scale, **recipe):
            self.scale, self.table, self.calls = scale, np.ones(3), 0
            super().__init__(**recipe)
            self.batch_size = 8

        def batches(self, seed):
            self.calls += 1
            return super().batches(seed)

    assert identity.describe_attributes(Stripes()) == {}  # As in finished studies.
    first, again, other = (identity.describe_attributes(Own(s)) for s in (1, 1, 2))
    assert first == again != other
    assert set(first) == {"scale", "table"}
    assert identity.describe_attributes(Own(1).with_steps(3)) == first


def test_the_code_of_keras_and_of_the_backend_is_no_part_of_it():
    """Found: after an update of TensorFlow, no folder could be continued."""
    made = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            WeightedConv2D(2, 3, density="gaussian", activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation=keras.activations.gelu),
        ]
    )
    parts = *made.layers, made, "mse", keras.optimizers.SGD
    assert identity.describe_code(*parts) is None
