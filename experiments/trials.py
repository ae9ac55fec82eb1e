"""Tuning an arm on the validation split with DIRECT-L, before its final runs."""

import contextlib
import io
import json
import time

from .._optional import require
from . import runs

LEARNING_RATES = (1 / 4, 4)  # times that of the recipe
STARTS = (0.1, 2.0)


def tune(task, arm, density, log, progress, trials, seed, search=None, **options):
    """Finds the values that an arm tunes, each trial one training with one seed.

    The learning rate is searched from a quarter of the recipe's to four times it, the
    start from a tenth of the initial kernels to twice them, both on a logarithmic
    scale, and the density where `search` declares it.

    Args:
        task: `Task`.
        arm: `Arm` that tunes something.
        density: density of the weighted network, where the arm does not tune it.
        log: `runs.RunLog`. A trial that it holds is not trained again.
        progress: `rich.progress.Progress`.
        trials: int, how many trainings at most.
        seed: int, of every trial.
        search: function of `keras_tuner.HyperParameters` that returns a density.
        **options: `min_side`, the resolution of `tuning.DirectL`, and density options.

    Returns:
        The list of `runs.Setup`, the best first, and how many trainings there were.
    """
    kt = require("keras_tuner", extra="tuning")
    from .. import tuning

    min_side = options.pop("min_side", 0.01)

    class Network(kt.HyperModel):
        """The network of the arm, set up by a trial."""

        def setup(self, hp):
            rate, start = task.learning_rate, 1.0
            if "learning_rate" in arm.tuned:
                low, high = (factor * task.learning_rate for factor in LEARNING_RATES)
                rate = hp.Float("learning_rate", low, high, sampling="log")
            if "start" in arm.tuned:
                start = hp.Float("start", *STARTS, sampling="log")
            found = search(hp) if "density" in arm.tuned else density
            return runs.Setup(arm, found, rate, start)

        def build(self, hp):
            return runs.build(task, self.setup(hp), **options)

        def fit(self, hp, model, **kwargs):
            key = {
                "stage": "tuning",
                "steps": task.total_steps,
                **self.setup(hp).describe(task),
                "seed": seed,
            }
            record = log.find(key)
            if record is not None:
                runs.skip(progress, task.epochs)
            else:
                number = len(tuner.oracle.trials)
                title = (
                    f"tuning {arm.name}, {task.total_steps} steps, trial {number} of "
                    f"{trials}"
                )
                with runs.EpochBar(progress, title, task) as advance:
                    started = time.perf_counter()
                    task.fit(model, seed, callbacks=[advance])
                    record = {
                        **key,
                        "values": dict(hp.values),
                        "validation": task.evaluate(model, "validation"),
                        "seconds": round(time.perf_counter() - started, 2),
                    }
                log.append(record)
                values = json.dumps({k: round(v, 5) for k, v in hp.values.items()})
                progress.console.print(
                    f"{title}, {values}: validation {task.monitor} "
                    f"{record['validation'][task.monitor]:.4f}, "
                    f"{record['seconds']:.0f} s",
                    soft_wrap=True,
                )
            return record["validation"][task.monitor]

    network = Network()
    # KerasTuner prints what it reloads.
    with contextlib.redirect_stdout(io.StringIO()):
        tuner = tuning.DirectL(
            network,
            kt.Objective(task.monitor, task.direction),
            max_trials=trials,
            min_side=min_side,
            seed=seed,
            # A schedule is part of the compiled step.
            reuse_model="learning_rate" not in arm.tuned or task.schedule == "constant",
            directory=log.folder / "trials",
            project_name=f"{arm.key}-{task.total_steps}-{trials}",
        )
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    finished = statuses.count("COMPLETED")  # Before a kill.
    tuner.search(verbose=0)
    # The search stops early where its resolution is reached.
    spared = trials - len(tuner.oracle.trials)
    runs.skip(progress, (finished + spared) * task.epochs)
    best = tuner.oracle.get_best_trials(trials)
    setups = [network.setup(trial.hyperparameters) for trial in best]
    return setups, len(tuner.oracle.trials)
