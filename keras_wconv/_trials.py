"""The trials of a search, of KerasTuner or of Optuna."""

import html
import math
from typing import Any, NamedTuple

_MAX_ROWS = 20


class Trials(NamedTuple):
    """The trials of a search in order.

    `values` has a dict of hyperparameters for each trial. A trial without a score has
    None.
    """

    names: list[str]
    values: list[dict[str, Any]]
    scores: list[float | None]
    direction: str
    metric: str

    @classmethod
    def of(cls, search: Any) -> "Trials":
        """Reads a tuner or an oracle of KerasTuner, or an Optuna study."""
        if hasattr(search, "enqueue_trial"):  # Optuna may not be installed.
            trials = search.trials
            names = [str(trial.number) for trial in trials]
            values = [trial.params for trial in trials]
            scores = [trial.value for trial in trials]
            direction = "max" if search.direction.name == "MAXIMIZE" else "min"
            return cls(names, values, [_finite(s) for s in scores], direction, "value")
        oracle = getattr(search, "oracle", search)
        if not hasattr(oracle, "objective"):
            raise ValueError(
                "`search` must be a tuner or an oracle of KerasTuner, an Optuna study, "
                "or with `scores` a dict by name of the values that were tried. "
                f"Received: {search!r} of type {type(search)}"
            )
        known = getattr(oracle, "trials", {})  # A worker's chief has its trials.
        trials = [known[name] for name in getattr(oracle, "start_order", known)]
        names = [trial.trial_id for trial in trials]
        values = [
            {
                name: value
                for name, value in trial.hyperparameters.values.items()
                if not name.startswith("tuner/")  # Hyperband's own notes.
            }
            for trial in trials
        ]
        scores = [_finite(trial.score) for trial in trials]
        objective = oracle.objective
        return cls(names, values, scores, objective.direction, objective.name)

    def columns(self) -> dict[str, list[Any]]:
        """Returns the values of each hyperparameter, with None if a trial has none."""
        names = dict.fromkeys(name for values in self.values for name in values)
        return {name: [values.get(name) for values in self.values] for name in names}

    def to_html(self, title: str) -> str:
        """Returns a table of the best trials, for a notebook."""
        columns = self.columns()
        sign = -1 if self.direction == "max" else 1
        ranks = [math.inf if s is None else sign * s for s in self.scores]
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        scored = sum(score is not None for score in self.scores)
        caption = f"{title}: {len(self.names)} trials, {scored} with a score"
        if scored:
            caption += (
                f". The best is trial {self.names[order[0]]}, {self.metric} "
                f"{_text(self.scores[order[0]])}"
            )
        if len(order) > _MAX_ROWS:
            caption += f". The table shows the best {_MAX_ROWS}"
        rows: list[list[Any]] = [["trial", *columns, self.metric]]
        for i in order[:_MAX_ROWS]:
            values = [column[i] for column in columns.values()]
            rows.append([self.names[i], *values, self.scores[i]])
        lines = [
            "".join(f"<{tag}>{html.escape(_text(cell))}</{tag}>" for cell in row)
            for tag, row in zip(["th", *["td"] * len(rows)], rows, strict=False)
        ]
        body = "\n".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>\n<caption>{html.escape(caption)}</caption>\n{body}\n</table>"


def _finite(score):
    return None if score is None or not math.isfinite(score) else float(score)


def _text(value):
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
