"""Training on two devices gives the weights that one device gives."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
SCRIPT = Path(__file__).parent / "support" / "train_on_devices.py"


def start(folder, devices, **environment):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(devices)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder with the weights that one device gave, and two."""
    folder = tmp_path_factory.mktemp("weights")
    one = start(folder, 1)
    if BACKEND == "torch":
        rendezvous = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "GLOO_SOCKET_IFNAME": "lo",
            "WORLD_SIZE": "2",
        }
        two = [start(folder, 2, RANK=str(rank), **rendezvous) for rank in range(2)]
    else:
        flags = os.environ.get("XLA_FLAGS", "")
        flags += " --xla_force_host_platform_device_count=2"
        two = [start(folder, 2, XLA_FLAGS=flags)]
    wait(one, *two)
    return folder


@pytest.mark.parametrize("density", ["fixed", "learned"])
def test_two_devices_train_as_one_does(trained, density):
    (one,), two = (
        [np.load(path) for path in sorted(trained.glob(f"{density}-{devices}-*.npz"))]
        for devices in (1, 2)
    )
    assert len(two) == (2 if BACKEND == "torch" else 1)
    for weights in two:
        assert weights.files == one.files
        for name in one.files:
            np.testing.assert_allclose(weights[name], one[name], atol=1e-5, rtol=0)
