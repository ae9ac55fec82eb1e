"""Convolution layers whose kernel is multiplied by a spatial density."""

from .base import WeightedConvolution
from .conv import WeightedConv1D, WeightedConv2D, WeightedConv3D
from .conv_transpose import (
    WeightedConv1DTranspose,
    WeightedConv2DTranspose,
    WeightedConv3DTranspose,
)
from .depthwise_conv import WeightedDepthwiseConv1D, WeightedDepthwiseConv2D
from .effective_kernel import EffectiveKernelConstraint, EffectiveKernelRegularizer
from .layer_density import (
    FixedDensity,
    HeldDensity,
    LayerDensity,
    LearnedDensity,
    StepDensity,
)
from .separable_conv import WeightedSeparableConv1D, WeightedSeparableConv2D

__all__ = [
    "EffectiveKernelConstraint",
    "EffectiveKernelRegularizer",
    "FixedDensity",
    "HeldDensity",
    "LayerDensity",
    "LearnedDensity",
    "StepDensity",
    "WeightedConv1D",
    "WeightedConv1DTranspose",
    "WeightedConv2D",
    "WeightedConv2DTranspose",
    "WeightedConv3D",
    "WeightedConv3DTranspose",
    "WeightedConvolution",
    "WeightedDepthwiseConv1D",
    "WeightedDepthwiseConv2D",
    "WeightedSeparableConv1D",
    "WeightedSeparableConv2D",
]
