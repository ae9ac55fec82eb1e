import keras
import numpy as np
import pytest

from keras_wconv import applications


def counts(model):
    moving = sum(np.prod(v.shape) for v in model.non_trainable_variables)
    return model.count_params() - moving, moving
