"""The log of finished runs, one line each, and their settings."""

import json
import math
import os
import platform
from pathlib import Path

import numpy as np

from ..._files import write_atomically
from ...tuning.folder_lock import FolderLock

VERSION = 1
CURVE_POINTS = 50
DIGESTS = ("code of the task", "data.digest")  # Their values tell a reader nothing.


class RunLog:
    """Finished runs in `runs.jsonl`, found by their digest.

    A line is on the disk before the next run begins. A line that a kill has torn is
    skipped, and its run is done again. Only one process can have the log; as a context
    manager, it is released at the end.

    Args:
        folder: str or `pathlib.Path`, made if it does not exist.
        settings: dict for JSON. `settings.json` must agree in `"shared"`, and in those
            `"candidates"` that both have. `"environment"` is written there with the
            first run that is added.

    Raises:
        ValueError: If the folder holds other runs, or another process has the log.

    Example:

    >>> from keras_wconv.experiments.study.log import RunLog
    >>> log = RunLog("runs", {"shared": {"batch_size": 3}, "candidates": {}})
    >>> _ = log.append({"id": "a8f5", "seed": 0, "test": {"psnr": 27.5}})
    >>> log.find("a8f5")["seed"]
    0
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        self._path = self.folder / "runs.jsonl"
        settings = json.loads(json.dumps({"version": VERSION, **settings}))
        self._environment = settings.pop("environment", None)
        path = self.folder / "settings.json"
        if path.exists():
            saved = json.loads(path.read_text())
            _check(self.folder, saved, settings)
            settings["candidates"] = {**saved["candidates"], **settings["candidates"]}
            settings["chosen"] = saved.get("chosen", {})
            settings["environment"] = saved.get("environment")
        elif self._path.exists():
            raise ValueError(_cannot_go_on(self.folder, "has no settings.json"))
        self.settings = settings
        self.write_settings()
        self.records = read(self.folder)
        written = self._path.read_bytes() if self._path.exists() else b""
        if written and not written.endswith(b"\n"):
            self._write("\n")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._lock.release()

    def write_settings(self, **more):
        """Adds to the settings, which are on disk when the call returns."""
        self.settings |= json.loads(json.dumps(more))
        text = json.dumps(without_nan(self.settings), indent=1)
        write_atomically(self.folder / "settings.json", text + "\n")

    def find(self, run_id, **about):
        """Returns the record of a run, or None.

        Several candidates may have the same run. A record with all items of `about`
        comes first.
        """
        found = [record for record in self.records if record["id"] == run_id]
        same = [record for record in found if about.items() <= record.items()]
        return next(iter(same or found), None)

    def append(self, record):
        """Adds a record, which is on disk when the call returns."""
        if self.settings.get("environment") != self._environment:
            self.write_settings(environment=self._environment)
        text = json.dumps(without_nan(record), allow_nan=False)
        self._write(text + "\n")
        self.records.append(json.loads(text))
        return self.records[-1]

    def _write(self, text):
        with self._path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            left = text.encode()
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:  # The disk is full. The next record must begin a line.
                file.truncate(end)
                raise


def cell_name(examples, steps):
    """Returns the name of a cell: a number of examples (None for all) and of steps.

    Example:

    >>> from keras_wconv.experiments.study.log import cell_name
    >>> cell_name(None, 1000), cell_name(50, 1000)
    ('1000 steps', '50 examples, 1000 steps')
    """
    return (
        f"{steps} steps" if examples is None else f"{examples} examples, {steps} steps"
    )


def model_path(folder, record):
    """Returns the path of the model of a run."""
    cell = cell_name(record["examples"], record["steps"])
    candidate = record["candidate"].replace("/", " ")
    return folder / "models" / f"{cell}-{candidate}-{record['id'][:8]}.keras"


def thinned(losses):
    """Returns a training curve for a record: at most 50 of `[epoch, loss]`.

    It has the first and the last epoch, and others evenly between them.

    Example:

    >>> from keras_wconv.experiments.study.log import thinned
    >>> thinned([0.9, 0.7, 0.6])
    [[1, 0.9], [2, 0.7], [3, 0.6]]
    """
    last = len(losses) - 1
    kept = np.linspace(0, last, min(len(losses), CURVE_POINTS)).round().astype(int)
    return [[epoch + 1, losses[epoch]] for epoch in kept.tolist()]


def read(folder):
    """Returns the records in a folder.

    Raises:
        ValueError: If they have no digest.
    """
    path = Path(folder) / "runs.jsonl"
    records = {}  # By its line: a disturbed write may leave a line twice.
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:  # Torn by a kill.
            continue
        if not isinstance(record, dict):
            continue
        if "id" not in record:
            raise ValueError(_cannot_go_on(folder, "has runs without a digest"))
        records[line] = record
    return list(records.values())


def without_nan(value):
    """Returns a value for JSON, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cannot_go_on(folder, reason):
    return (
        f"`folder` {str(folder)!r} {reason}: it was written by an earlier version, "
        "whose runs cannot be identified. Give another folder."
    )


def _check(folder, saved, settings):
    if saved.get("version") != VERSION:
        raise ValueError(_cannot_go_on(folder, "has other settings"))
    before, now = (dict(_flatten(one["shared"])) for one in (saved, settings))
    if "code of the task" not in before:  # Of an earlier version.
        now.pop("code of the task", None)
    for name, candidate in settings["candidates"].items():
        if name in saved["candidates"]:
            before |= dict(_flatten(saved["candidates"][name], f"candidate {name!r}"))
            now |= dict(_flatten(candidate, f"candidate {name!r}"))
    differing = [
        f"{key} has changed"
        if key in DIGESTS
        else f"{key} is {before.get(key, 'absent')!r} there and "
        f"{now.get(key, 'absent')!r} now"
        for key in {**before, **now}
        if before.get(key, "absent") != now.get(key, "absent")
    ]
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        versions = (saved.get("environment") or {}).get("versions", {})
        python = versions.get("python", platform.python_version())
        if python.split(".")[:2] != platform.python_version().split(".")[:2]:
            more += f" (code of your own is known to Python {python} alone)"
        raise ValueError(
            f"`folder` holds runs of something else: {str(folder)!r}, where "
            f"{'; '.join(differing[:5])}{more}. Give the same to go on, another name "
            "to a candidate that has changed, or another folder."
        )


def _flatten(value, prefix=""):
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
