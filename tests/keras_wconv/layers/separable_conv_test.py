import numpy as np
from layer_checks import normal, to_numpy

import keras_wconv


def test_the_pointwise_kernel_is_not_weighted():
    layer = keras_wconv.WeightedSeparableConv2D(4, 3, density=np.zeros((3, 3)))
    inputs = normal((1, 5, 5, 2))
    assert not np.any(to_numpy(layer(inputs)))
    assert layer.effective_kernel.shape == layer.depthwise_kernel.shape
    assert np.any(to_numpy(layer.pointwise_kernel))
