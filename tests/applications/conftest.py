import contextlib

import keras
import numpy as np
import pytest
from extent import ALL


@pytest.fixture
def counts():
    """Counts the trainable and the moving parameters of the model of `build`."""
    if keras.backend.backend() != "torch" and not ALL:
        pytest.skip("They are the same, and PyTorch counts without making weights.")

    def count(build, **arguments):
        with contextlib.ExitStack() as stack:
            if keras.backend.backend() == "torch":
                # Weights on the meta device take neither memory nor time.
                stack.enter_context(keras.device("meta"))
            model = build(**arguments)
        return tuple(
            sum(int(np.prod(weight.shape)) for weight in weights)
            for weights in (model.trainable_weights, model.non_trainable_weights)
        )

    return count
