"""What tests need of Keras where the oldest version that is supported has a fault."""

import keras
import pytest

KERAS = tuple(map(int, keras.__version__.split(".")[:2]))


def needs_keras(version, reason):
    """Skips a test of what Keras itself cannot do before a version such as "3.15"."""
    return pytest.mark.skipif(
        tuple(map(int, version.split("."))) > KERAS,
        reason=f"Keras before {version}: {reason}",
    )
