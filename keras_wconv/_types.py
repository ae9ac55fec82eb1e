"""Types of arguments in several modules."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

# An array or a tensor of the backend, for which Keras has no type.
Tensor = Any
# The name of a file or a folder.
PathLike = str | os.PathLike[str]
# One number for all axes, or one for each.
Sizes = int | Sequence[int]
# The types that `keras.activations.get`, `keras.initializers.get` and so on accept.
Identifier = str | Mapping[str, object] | Callable[..., object] | None


class DensityOptions(TypedDict, total=False):
    """The density arguments of every weighted layer, except `density` itself."""

    normalize_density: bool | None
    density_trainable: bool
    density_per_channel: bool
    density_regularizer: Identifier
    density_constraint: Identifier
