"""Keras layers whose kernel is multiplied by a spatial density."""

from . import (
    callbacks,
    densities,
    export,
    inspection,
    layers,
    optimizers,
    pytorch,
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
    "to_weighted",
    "visualization",
]
