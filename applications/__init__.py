"""Networks and tasks made of weighted convolutions."""

from .dncnn import DnCNN, DnCNN17, DnCNN20

__all__ = [
    "DnCNN",
    "DnCNN17",
    "DnCNN20",
]
