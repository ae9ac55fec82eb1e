"""A density of a user's own, whose width is learned."""

import keras
import numpy as np

from keras_wconv.densities import Density


@keras.saving.register_keras_serializable(package="own_density")
class Cauchy(Density):
    positive = ("width",)

    def __init__(self, width=1.0):
        self.width = width

    def parameters(self, kernel_size, causal=False):
        return {"width": np.array(self.width)}

    def map(self, taps, xp, width):
        return 1 / (1 + sum(xp.square(tap / width) for tap in taps))

    def get_config(self):
        return {"width": self.width}
