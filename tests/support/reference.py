"""Convolutions in NumPy, written from their definition, one tap at a time.

All data is channels last: `(batch, *spatial, channels)`.
"""

import numpy as np


def span(kernel_size, dilation_rate):
    return [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation_rate, strict=True)]


def _windows(inputs, kernel_size, strides, padding, dilation_rate):
    """Yields each tap and the inputs that it multiplies, one for each output."""
    pads, counts = [(0, 0)], []
    spans = span(kernel_size, dilation_rate)
    for size, reach, stride in zip(inputs.shape[1:-1], spans, strides, strict=True):
        if padding == "same":
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            before, after = total // 2, total - total // 2
        else:
            before, after = (reach - 1 if padding == "causal" else 0), 0
        pads.append((before, after))
        counts.append((size + before + after - reach) // stride + 1)
    inputs = np.pad(inputs, [*pads, (0, 0)])
    for tap in np.ndindex(*kernel_size):
        starts = [t * d for t, d in zip(tap, dilation_rate, strict=True)]
        slices = [
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(starts, counts, strides, strict=True)
        ]
        yield tap, inputs[(slice(None), *slices)]


def conv(inputs, kernel, strides, padding, dilation_rate, groups=1):
    outputs = 0.0
    kernel_size = kernel.shape[:-2]
    for tap, window in _windows(inputs, kernel_size, strides, padding, dilation_rate):
        outputs += np.concatenate(
            [
                part @ weights
                for part, weights in zip(
                    np.split(window, groups, axis=-1),
                    np.split(kernel[tap], groups, axis=-1),
                    strict=True,
                )
            ],
            axis=-1,
        )
    return outputs


def depthwise_conv(inputs, kernel, strides, padding, dilation_rate):
    outputs = 0.0
    kernel_size = kernel.shape[:-2]
    for tap, window in _windows(inputs, kernel_size, strides, padding, dilation_rate):
        outputs += window[..., np.newaxis] * kernel[tap]
    return outputs.reshape(*outputs.shape[:-2], -1)


def conv_transpose(inputs, kernel, strides, padding, dilation_rate, output_padding):
    """The gradient of `conv` with respect to its inputs."""
    spans = span(kernel.shape[:-2], dilation_rate)
    sizes, crops = [], []
    for axis, (size, reach, stride) in enumerate(
        zip(inputs.shape[1:-1], spans, strides, strict=True)
    ):
        extra = None if output_padding is None else output_padding[axis]
        if padding == "valid":
            extra = max(stride - reach, 0) if extra is None else extra
            sizes.append((size - 1) * stride + reach + extra)
            crops.append(0)
        else:
            out = size * stride
            if extra is not None:
                out = (size - 1) * stride + reach % 2 + extra
            sizes.append(out)
            crops.append(max((size - 1) * stride + reach - out, 0) // 2)
    room = [
        max(size + crop, (n - 1) * stride + reach)
        for size, crop, n, stride, reach in zip(
            sizes, crops, inputs.shape[1:-1], strides, spans, strict=True
        )
    ]
    outputs = np.zeros((len(inputs), *room, kernel.shape[-2]), inputs.dtype)
    for tap in np.ndindex(*kernel.shape[:-2]):
        slices = [
            slice(t * d, t * d + (n - 1) * stride + 1, stride)
            for t, d, n, stride in zip(
                tap, dilation_rate, inputs.shape[1:-1], strides, strict=True
            )
        ]
        outputs[(slice(None), *slices)] += inputs @ kernel[tap].T
    kept = [slice(c, c + size) for c, size in zip(crops, sizes, strict=True)]
    return outputs[(slice(None), *kept)]


def density_map(coefficients, kernel_size, causal=False):
    """Outer product of the profiles, by counting each tap's steps to the center."""
    phi = np.ones(kernel_size)
    for tap in np.ndindex(*kernel_size):
        for position, size, values in zip(tap, kernel_size, coefficients, strict=True):
            from_edge = position if causal else min(position, size - 1 - position)
            if from_edge < len(values):
                phi[tap] *= values[from_edge]
    return phi
