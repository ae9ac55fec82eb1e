"""Imports optional packages, or says how to install them."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports a module, or says which extra of keras_wconv installs it.

    Args:
        module: str, dotted name of the module.
        extra: str, the extra in pyproject.toml that installs it.

    Returns:
        The imported module.

    Raises:
        ImportError: If the package of the module, or one that it imports, is not
            installed.

    Example:

    >>> from keras_wconv._optional import require
    >>> require("math", extra="data").__name__
    'math'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name
        package = module.partition(".")[0]
        if not isinstance(error, ModuleNotFoundError) or not missing:
            cause, remedy = f"fails to import: {error}", "reinstall it with"
        elif missing.partition(".")[0] == package:
            cause, remedy = "is not installed", "install it with"
        else:
            # The package does not declare all that it imports.
            raise ImportError(
                f"`{module}` is installed, but imports `{missing}`, which is not. "
                f"Install it, for instance with: pip install {missing.split('.')[0]}",
                name=missing,
            ) from error
        raise ImportError(
            f"`{module}` is needed here and {cause}. {remedy.capitalize()}: "
            f'pip install "keras_wconv[{extra}]"',
            name=package,
        ) from error
