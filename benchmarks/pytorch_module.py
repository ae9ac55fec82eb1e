"""Against a plain PyTorch module that multiplies its kernel by a buffer.

Keras's own layer beside `torch.nn.Conv2d` says what is Keras's part: its kernels lie
the other way round in memory, height x width x in x out, and are turned in each call.
"""

import itertools

import keras
import torch
from rich.progress import track

import keras_wconv

from . import _harness

BATCHES = (1, 8, 32)


class PlainWeightedConv2d(torch.nn.Conv2d):
    def __init__(self, channels, kernel_size, phi):
        super().__init__(channels, channels, kernel_size, padding="same")
        self.register_buffer("phi", phi)

    def forward(self, x):
        return self._conv_forward(x, self.weight * self.phi, self.bias)


def step(module, inputs):
    upstream = torch.randn_like(inputs)

    def backward():
        module.zero_grad()
        inputs.grad = None
        module(inputs).backward(upstream)

    return backward


def main():
    options = _harness.parse_options(__doc__)
    cases = list(itertools.product((32, 256), _harness.DENSITIES, BATCHES))
    if options.quick:
        cases = cases[:1]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for channels, kernel_size, batch in track(cases, "PyTorch module"):
        size = 1024 // channels
        inputs = torch.randn(batch, channels, size, size, device=device)
        inputs.requires_grad_()
        arguments = {"padding": "same", "data_format": "channels_first"}
        density = _harness.DENSITIES[kernel_size]
        standard = keras.layers.Conv2D(channels, kernel_size, **arguments)
        ours = keras_wconv.WeightedConv2D(
            channels, kernel_size, density=density, **arguments
        )
        for layer in (standard, ours):
            layer.build(inputs.shape)
        phi = torch.as_tensor(ours.density_map, dtype=torch.float32)
        modules = {
            "plain module": PlainWeightedConv2d(channels, kernel_size, phi),
            "torch.nn.Conv2d": torch.nn.Conv2d(
                channels, channels, kernel_size, padding="same"
            ),
            "keras.layers.Conv2D": standard,
            "WeightedConv2D": ours,
        }
        steps = {
            name: step(module.to(device), inputs) for name, module in modules.items()
        }
        times = _harness.compare(steps, seconds=0.5 if options.quick else 2)
        rows += _harness.ratios(
            times, channels=channels, kernel_size=kernel_size, batch=batch
        )
    print(_harness.save("pytorch_module", rows, options))


if __name__ == "__main__":
    main()
