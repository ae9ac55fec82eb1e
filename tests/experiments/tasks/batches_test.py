import threading

import numpy as np
import pytest

from keras_wconv.experiments.tasks.batches import Batches


def numbers(seed, threads=2):
    def load(indices, rng):
        return np.array(indices), rng.integers(1000, size=len(indices))

    return Batches(10, 3, load, seed, threads=threads)


def read(batches):
    return [np.concatenate(batch).tolist() for batch in batches]


def test_batches_are_a_function_of_seed_and_epoch():
    batches, again = numbers(seed=1), numbers(seed=1, threads=1)
    first = read(batches)
    assert first == read(again) == read(batches)
    batches.epoch = again.epoch = 5
    fifth = read(batches)
    assert fifth == read(again) != first
    assert read(numbers(seed=2)) != first
    assert batches[2][0].tolist() == fifth[2][:3]


def test_one_epoch_draws_every_item_once():
    drawn = [i for indices, _ in numbers(seed=0) for i in indices]
    assert len(drawn) == len(set(drawn)) == 9


def test_batches_of_a_given_number_go_over_the_items_again():
    def load(indices, rng):
        return indices, indices

    batches = Batches(4, 3, load, seed=0, steps=8)
    drawn = np.concatenate([indices for indices, _ in batches])
    assert np.bincount(drawn).tolist() == [6, 6, 6, 6]


def test_failure_in_a_thread_reaches_the_caller():
    def load(indices, rng):
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        Batches(4, 2, load, seed=0)[0]


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"`batch_size` .* 4 training .* Received: 5"):
        Batches(4, 5, lambda indices, rng: None, seed=0)


def test_the_length_needs_no_threads():
    before = threading.active_count()
    many = [numbers(seed=seed) for seed in range(50)]
    assert {len(batches) for batches in many} == {3}
    assert threading.active_count() == before
