"""Faults: how many of each kind were tried, and in how many nothing was lost.

    python -m benchmarks.faults [--seed 0] [--kills 5]

Kills at random moments, full disks, read-only folders, two processes in one folder,
clocks that jump, and logs with torn and doubled lines are tried on a small search, a
comparison, a fold and an export. A fault is held if all that was finished is there
afterwards, whole; if the process says what is wrong; and if the same call, once the
fault is over, ends as if nothing had been.
"""

import argparse
import contextlib
import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from . import RESULTS

START = "started\n"


# What is run, in a process of its own.


def _task():
    from keras_wconv.applications import VGG
    from keras_wconv.experiments import Classification

    network = functools.partial(VGG, (1,), (4,), hidden_units=())
    return Classification.digits(network, epochs=1)


def _search(folder):
    from keras_wconv import experiments

    experiments.search(_task(), folder, trials=6, seeds=(0, 1), controls=())


def _compare(folder):
    from keras_wconv import experiments

    experiments.compare(_task(), folder, density=[0.7], trials=3, seeds=(0, 1))


def _command(name, output, folder):
    import keras_wconv_cli

    arguments = [name, str(folder / "model.keras"), str(folder / output)]
    sys.exit(keras_wconv_cli.main(arguments))


ACTS = {
    "search": _search,
    "compare": _compare,
    "fold": functools.partial(_command, "fold", "out.keras"),
    "export": functools.partial(_command, "export", "out.onnx"),
}


def _child(act, folder, limit, clock):
    if clock:
        steady, rng = time.time, random.Random(0)
        time.time = lambda: steady() + rng.uniform(-1e6, 1e6)

    print(START, end="", flush=True)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        ACTS[act](folder)
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _start(act, folder, limit=0, clock=False):
    """Starts an act and returns its process, once everything is imported."""
    command = [sys.executable, "-m", "benchmarks.faults", "--act", act]
    command += ["--folder", str(folder), "--limit", str(limit)]
    environment = {"KERAS_BACKEND": "torch", **os.environ}
    process = subprocess.Popen(
        command + ["--clock"] * clock,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == START, process.stderr.read()
    return process


def _run(act, folder, **options):
    process = _start(act, folder, **options)
    _, errors = process.communicate()
    return process.returncode, errors


# What must be there.


def _runs(folder):
    """The runs of a log by what identifies them, without what no run repeats."""
    path = folder / "runs.jsonl"
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            record.pop("seconds")
            key = ("id", "candidate", "stage")
            found[json.dumps([record[name] for name in key])] = record
    return found


def _whole(folder):
    """Whether no file that a reader would open is torn."""
    for path in folder.rglob("*"):
        if ".tmp" in path.name or not path.is_file():
            continue
        try:
            if path.suffix == ".keras" and zipfile.ZipFile(path).testzip():
                return False
            if path.suffix == ".json":
                json.loads(path.read_text())
        except (ValueError, zipfile.BadZipFile):
            return False
    return True


def _keeps(before, folder):
    after = _runs(folder)
    return _whole(folder) and all(after.get(key) == run for key, run in before.items())


class Faults:
    """Tries the faults and counts them."""

    def __init__(self, folder, seed, kills):
        self.folder = folder
        self.rng = random.Random(seed)
        self.kills = kills
        self.rows = {}

    def count(self, fault, held, why=""):
        row = self.rows.setdefault(fault, {"fault": fault, "tried": 0, "held": 0})
        row["tried"] += 1
        row["held"] += bool(held)
        print(f"{fault}: {'held' if held else 'NOT held'} {why}", flush=True)

    def all(self):
        import keras

        import keras_wconv

        reference = self.folder / "reference"
        begin = time.monotonic()
        status, errors = _run("search", reference)
        assert status == 0, errors
        self.seconds = time.monotonic() - begin
        self.expected = _runs(reference)
        self.reference = reference
        layer = keras_wconv.WeightedConv2D(64, 3, density=[0.7])
        self.model = keras.Sequential([keras.Input((8, 8, 3)), layer])
        self.killed()
        self.full_and_read_only()
        self.two_processes()
        clocks = self.folder / "clocks"
        self._ends_alike("a clock that jumps by days", clocks, clock=True)
        self.lines()
        return list(self.rows.values())

    def killed(self):
        for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            folder = self.folder / sent.name
            for _ in range(self.kills):
                process = _start("search", folder)
                time.sleep(self.rng.uniform(0, 0.5 * self.seconds))
                before = _runs(folder)
                process.send_signal(sent)
                process.communicate()
                self.count(f"{sent.name} at a random moment", _keeps(before, folder))
            self._ends_alike("the search goes on to the same end", folder)

    def _ends_alike(self, fault, folder, **options):
        status, errors = _run("search", folder, **options)
        held = status == 0 and _runs(folder) == self.expected
        self.count(fault, held, errors[-200:])

    def full_and_read_only(self):
        limits = {"search": (300, 3_000, 30_000), "compare": (300, 3_000, 30_000)}
        limits |= {"fold": (2_000,), "export": (2_000,)}
        for act, sizes in limits.items():
            for size in sizes:
                folder = self._prepared(act, f"{act}-{size}")
                self._fails(f"disk full, {act}", act, folder, limit=size)
        finished = self.folder / "finished"
        subprocess.run(["cp", "-r", self.reference, finished], check=True)
        self._fails("disk full, report", "search", finished, limit=300)
        for act in ACTS:
            folder = self._prepared(act, f"{act}-mount")
            for fault, option in (
                ("read-only folder", "remount,ro"),
                ("small file system", "remount,size=4k"),
            ):
                if not self._mounted(folder):
                    continue
                if act in ("fold", "export"):
                    (folder / "model.keras").symlink_to(self.folder / "model.keras")
                subprocess.run(["mount", "-o", option, folder], check=True)
                self._fails(f"{fault}, {act}", act, folder)
                subprocess.run(["umount", folder], check=True)

    def _prepared(self, act, name):
        folder = self.folder / name
        folder.mkdir()
        if act in ("fold", "export"):
            for path in (folder / "model.keras", self.folder / "model.keras"):
                self.model.save(path)
        return folder

    def _mounted(self, folder):
        command = ["mount", "-t", "tmpfs", "tmpfs", folder]
        try:
            return not subprocess.run(command, capture_output=True).returncode
        except FileNotFoundError:
            return False

    def _fails(self, fault, act, folder, **options):
        before = _runs(folder)
        status, errors = _run(act, folder, **options)
        held = status == 2 and "[Errno" in errors and _keeps(before, folder)
        self.count(fault, held, errors.strip().splitlines()[-1][:100] if errors else "")

    def two_processes(self):
        folder = self.folder / "two"
        first = _start("search", folder)
        # The lock file is there before it is locked; this one comes after.
        while not (folder / ".lock.pid").exists():
            time.sleep(0.01)
        # It waits, or it might end while the others still import.
        first.send_signal(signal.SIGSTOP)
        for act in ("search", "compare"):
            status, errors = _run(act, folder)
            named = f"in use by process {first.pid}" in errors
            self.count("two in one folder", status == 2 and named, errors[-100:])
        first.send_signal(signal.SIGCONT)
        first.communicate()
        self._ends_alike("the first of the two is undisturbed", folder)

    def lines(self, times=100):
        from keras_wconv.experiments.study.log import RunLog

        settings = json.loads((self.reference / "settings.json").read_text())
        written = (self.reference / "runs.jsonl").read_bytes()
        for number in range(times):
            folder = self.folder / f"line-{number}"
            folder.mkdir()
            shutil.copy(self.reference / "settings.json", folder)
            path = folder / "runs.jsonl"
            lines = written.splitlines(keepends=True)
            if number % 2:
                fault = "a torn line"
                cut = self.rng.randrange(len(written) + 1)
                path.write_bytes(written[:cut])
                # A line without its end of line is whole, too.
                whole = set(written.splitlines())
                expected = sum(line in whole for line in written[:cut].splitlines())
            else:
                fault = "a doubled line"
                expected = len(lines)
                lines.insert(self.rng.randrange(len(lines)), self.rng.choice(lines))
                path.write_bytes(b"".join(lines))
            with RunLog(folder, settings) as log:
                found = len(log.records)
                log.append({"id": "later"})
            with RunLog(folder, settings) as log:
                later = log.find("later") is not None
                again = len(log.records) - 1
            self.count(fault, later and found == again == expected)


def table(rows):
    from keras_wconv.experiments.report.page import markdown_table

    columns = ["fault", "tried", "held"]
    return markdown_table(columns, [list(row.values()) for row in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=5, help="for each signal")
    parser.add_argument("--output", type=Path, default=RESULTS / "faults.md")
    for name in ("--act", "--limit", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--clock", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.act:
        folder = Path(options.folder)
        return _child(options.act, folder, int(options.limit), options.clock)
    with tempfile.TemporaryDirectory() as folder:
        rows = Faults(Path(folder), options.seed, options.kills).all()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    title, _, *text = __doc__.split("\n\n")
    made = "Made by `python -m benchmarks.faults`."
    parts = ("# Faults", title, made, *text, table(rows))
    options.output.write_text("\n\n".join(part.strip() for part in parts) + "\n")
    print(table(rows))
    return sum(row["tried"] - row["held"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())
