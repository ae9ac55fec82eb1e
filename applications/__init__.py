"""Networks made of weighted convolutions."""

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
