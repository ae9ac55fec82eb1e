"""Networks made of weighted convolutions.

With `density=None` each network is the standard one. Otherwise `density` is

- a density, as a layer takes it (see `keras_wconv.densities.get`), for all layers whose
  kernels it fits;
- a dict of densities by kernel size, such as `{3: [0.7], 7: [0.25, 0.15, 0.55]}`;
- a function of a layer's name and kernel size that returns a density or `None`, but
  not `None` for all.

Kernels of 1 have nothing to weight and always stay plain. Further arguments, such as
`normalize_density=True` or `density_trainable=True`, are those of the weighted layers
(see `keras_wconv.WeightedConv2D`) and go to each of them.
"""

from .convnext import (
    ConvNeXt,
    ConvNeXtAtto,
    ConvNeXtBase,
    ConvNeXtFemto,
    ConvNeXtNano,
    ConvNeXtPico,
    ConvNeXtSmall,
    ConvNeXtTiny,
)
from .dncnn import DnCNN, DnCNN17, DnCNN20
from .nafnet import NAFNet, NAFNetGoPro, NAFNetSIDD
from .r3d import R3D, R3D18
from .resnet import (
    ResNet,
    ResNet18,
    ResNet20,
    ResNet32,
    ResNet34,
    ResNet44,
    ResNet50,
    ResNet56,
    ResNet101,
    ResNet152,
)
from .time_series_resnet import TimeSeriesResNet
from .unet3d import UNet3D
from .vgg import VGG, VGG11, VGG13, VGG16, VGG19

__all__ = [
    "R3D",
    "R3D18",
    "VGG",
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "ConvNeXt",
    "ConvNeXtAtto",
    "ConvNeXtBase",
    "ConvNeXtFemto",
    "ConvNeXtNano",
    "ConvNeXtPico",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "DnCNN",
    "DnCNN17",
    "DnCNN20",
    "NAFNet",
    "NAFNetGoPro",
    "NAFNetSIDD",
    "ResNet",
    "ResNet18",
    "ResNet20",
    "ResNet32",
    "ResNet34",
    "ResNet44",
    "ResNet50",
    "ResNet56",
    "ResNet101",
    "ResNet152",
    "TimeSeriesResNet",
    "UNet3D",
]
