"""Results of made-up runs: no data, no task, no network."""

import numpy as np

from keras_wconv.experiments import Results


def results(
    validation,
    test=None,
    sides=None,
    direction="max",
    chance=0.0,
    confidence=0.95,
    edges=None,
):
    """Returns the results of made-up scores, an array over the seeds by candidate.

    A score that is not finite, or no better than `chance`, is a failed run.
    """
    test = validation if test is None else test
    names = list(validation)
    sides = sides or {
        "baseline": names[:1],
        "proposal": names[1:2],
        "controls": names[2:],
    }
    count = len(next(iter(test.values())))
    records = [
        record(name, seed, validation[name][seed], test[name][seed], direction, chance)
        for name in names
        for seed in range(count)
    ]
    settings = {
        "version": 1,
        "shared": {
            "task": {"task": "made up"},
            "data": {"name": "numbers", "digest": "0"},
            "backend": "none",
            "dtype_policy": "float32",
        },
        "candidates": {},
        "sides": sides,
        "seeds": list(range(count)),
        "cells": [[None, 10]],
        "metric": "score",
        "direction": direction,
        "unit": "",
        "scale": 1,
        "differences": [0.1],
        "chance": {"validation": chance, "test": chance},
        "batch_size": 1,
        "trials": 1,
        "confidence": confidence,
        "chosen": {
            "10 steps": {
                "baseline": sides["baseline"][0],
                "proposal": sides["proposal"][0],
                "values": {name: {} for name in names},
                "validation": {},
                "edges": edges or {},
            }
        },
        "environment": {
            "versions": {},
            "commit": None,
            "system": "none",
            "machine": "none",
            "processors": 1,
            "device": "cpu",
        },
    }
    return Results(settings, records)


def record(name, seed, validation, test, direction="max", chance=0.0):
    def scores(split, value):
        better = value > chance if direction == "max" else value < chance
        value = float(value) if np.isfinite(value) else None
        return {split: {"score": value}, f"failed_{split}": value is None or not better}

    return {
        "id": f"{name}-{seed}",
        "stage": "final",
        "candidate": name,
        "values": {},
        "steps": 10,
        "examples": None,
        "seed": seed,
        "initial": f"{seed}",
        **scores("validation", validation),
        **scores("test", test),
        "curve": [[1, 2.0], [2, 1.0]],
        "parameters": 7,
        "device": "cpu",
        "seconds": 1.0,
    }
