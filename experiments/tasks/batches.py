"""Batches that depend only on a seed and an epoch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Batches that are a function of the seed and the epoch, on every backend.

    Threads make the next batches while the network trains on this one. The caller (a
    `Task`, with a callback) sets `epoch`, so that a resumed training sees the batches
    of an uninterrupted one. The `workers` of `PyDataset` cannot do that: with JAX and
    PyTorch they start before the epoch is known.

    Args:
        items: int, the number of items to draw from.
        size: int, items per batch. An incomplete last batch is left out.
        load: function of `(indices, rng)` that returns `(inputs, targets)`.
        seed: int.
        steps: int, batches per epoch; by default one pass over the items.
        threads: int, the number of batches to make ahead.

    Raises:
        ValueError: If there are fewer items than a batch holds.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments.tasks.batches import Batches
    >>> numbers = np.arange(10)
    >>> def load(indices, rng):
    ...     return numbers[indices], numbers[indices]
    >>> batches, again = (Batches(10, 4, load, seed=1) for _ in range(2))
    >>> len(batches), bool(np.all(batches[1][0] == again[1][0]))
    (2, True)
    """

    def __init__(
        self,
        items: int,
        size: int,
        load: Callable[..., tuple[np.ndarray, np.ndarray]],
        seed: int,
        steps: int | None = None,
        threads: int = 2,
    ) -> None:
        super().__init__()
        if size < 1 or (steps is None and items < size):
            raise ValueError(
                f"`batch_size` must be at least 1 and at most the {items} training "
                f"examples. Received: {size}"
            )
        self.items = items
        self.size = size
        self.load = load
        self.seed = seed
        self.steps: int = steps or items // size
        self.epoch = 0
        self._threads = threads
        self._pool = None  # The length needs no threads.
        self._order = (None, None)
        self._pending = {}
        self._lock = threading.Lock()

    @property
    def num_batches(self) -> int:
        return self.steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        if step >= self.steps:
            # Ends a `for` loop: `PyDataset` has no `__iter__` before Keras 3.11.
            raise IndexError(f"There are {self.steps} batches. Received: {step}")
        epoch = self.epoch
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(self._threads)
            self._pending = {
                (e, s): batch
                for (e, s), batch in self._pending.items()
                if e == epoch and s >= step
            }
            for ahead in range(step, min(step + 1 + self._threads, self.steps)):
                if (epoch, ahead) not in self._pending:
                    made = self._pool.submit(self._make, epoch, ahead)
                    self._pending[epoch, ahead] = made
            batch = self._pending.pop((epoch, step))
        return batch.result()

    def _make(self, epoch, step):
        indices = self._epoch_order(epoch)[step * self.size : (step + 1) * self.size]
        return self.load(indices, np.random.default_rng((self.seed, epoch, step)))

    def _epoch_order(self, epoch):
        known, order = self._order
        if known != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            passes = -(-self.steps * self.size // self.items)
            order = np.concatenate([rng.permutation(self.items) for _ in range(passes)])
            self._order = epoch, order
        return order
