"""Packages that an extra brings: imported where they are used, named if absent."""

import importlib


def require(module, extra):
    """Import `module`, or say which extra of keras_wconv brings it.

    Args:
        module: str, dotted name of the module to import.
        extra: str, the extra in pyproject.toml that installs it.

    Returns:
        The imported module.

    Raises:
        ImportError: If the module's package is not installed.

    Example:

    >>> from keras_wconv._optional import require
    >>> require("math", extra="data").__name__
    'math'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{module}` is needed here and could not be imported ({error}). "
            f'Install it with: pip install "keras_wconv[{extra}]"'
        ) from error
