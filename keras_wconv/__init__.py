"""Keras layers whose kernel is multiplied by a spatial density."""

from pkgutil import extend_path

# In a clone, `applications`, `tuning` and `experiments` lie beside this folder; they
# are installed in it. Python that starts in the clone finds this folder first, without
# them. This line adds the installed folder.
__path__ = extend_path(__path__, __name__)

from . import (
    callbacks,
    densities,
    export,
    inspection,
    layers,
    optimizers,
    pytorch,
    regularizers,
    visualization,
)
from .conversion import fold, to_weighted
from .layers import (
    WeightedConv1D,
    WeightedConv1DTranspose,
    WeightedConv2D,
    WeightedConv2DTranspose,
    WeightedConv3D,
    WeightedConv3DTranspose,
    WeightedDepthwiseConv1D,
    WeightedDepthwiseConv2D,
    WeightedSeparableConv1D,
    WeightedSeparableConv2D,
)

__version__ = "0.1.0"

__all__ = [
    "WeightedConv1D",
    "WeightedConv1DTranspose",
    "WeightedConv2D",
    "WeightedConv2DTranspose",
    "WeightedConv3D",
    "WeightedConv3DTranspose",
    "WeightedDepthwiseConv1D",
    "WeightedDepthwiseConv2D",
    "WeightedSeparableConv1D",
    "WeightedSeparableConv2D",
    "callbacks",
    "densities",
    "export",
    "fold",
    "inspection",
    "layers",
    "optimizers",
    "pytorch",
    "regularizers",
    "to_weighted",
    "visualization",
]
