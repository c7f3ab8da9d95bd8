"""Commands ended at any moment, again and again; their end is that of one left alone."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import psutil
from safetensors.torch import load_file

from common import cli
from common.tests.stress.tally import Tally
from common.training import History, checksum

if os.name != "nt":
    import pty

# Two runs or more each; OUT is where their results go.
COMMANDS = {
    "compare": "--norms batch layer --out OUT",
    "train": "--norm group --out OUT/run.json",
    "accuracy": "--norms batch --seeds 1 2 --out OUT",
    "search": "--candidates course --norms batch layer --epochs 2 --out OUT",
    "study": "noise --out OUT",
}
TIMES = ("seconds", "cpu_seconds", "notes")


class Process:
    """A command in a fork, a session of its own, in a terminal or with its words in a pipe.

    A fork, for what it would import takes longer than what it does: few kills would hit the work.
    """

    def __init__(self, name: str, out: Path, jobs: int, terminal: bool) -> None:
        words = COMMANDS[name].replace("OUT", str(out)).split()
        line = [name, "--quick", *words, *(["--jobs", str(jobs)] if name != "train" else [])]
        self.read, write = pty.openpty() if terminal else os.pipe()
        self.said = b""
        if (pid := os.fork()) == 0:
            try:  # whatever happens, a child must never go on as the stress test
                os.setsid()
                os.dup2(write, 1)
                os.dup2(write, 2)
                os.close(self.read)
                sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
                os._exit(cli.main(line))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(write)
        self.process = psutil.Process(pid)
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()

    def _collect(self) -> None:
        try:
            while block := os.read(self.read, 4096):
                self.said += block
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(self.read)

    def end(self, how: int) -> list[psutil.Process]:
        """End it with this signal; its descendants that are still there after ten seconds."""
        children = []
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            children = self.process.children(recursive=True)
            if how == signal.SIGINT:  # as a terminal does it: to all of them
                os.killpg(self.process.pid, how)
            else:
                self.process.send_signal(how)
        _, left = psutil.wait_procs([self.process, *children], timeout=20)
        return left

    def words(self) -> str:
        """All that it has said, after its end."""
        self.process.wait()
        self.reader.join(15)
        return self.said.decode(errors="replace")


def results(out: Path) -> dict[str, Any]:
    """What a folder holds, by file, without times."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in out.rglob("*") if not p.name.startswith(".")):
        if path.suffix == ".json":
            run = History.load(path)
            found[path.name] = run.norm, run.seed, run.failure, run.column("test_accuracy")
        elif path.suffix == ".safetensors":
            found[path.name] = checksum(sorted(load_file(path).items()))
        elif path.suffix == ".csv":
            rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
            kept = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
            found[path.name] = sorted(map(str, kept))
        elif path.suffix == ".jsonl":
            found[path.name] = [
                line.partition(',"seconds"')[0] for line in path.read_text("utf-8").splitlines()
            ]
        else:
            found[path.name] = "is there"
    return found


def left_over(out: Path, place: Path) -> list[str]:
    """What is neither a result nor of use; locks, and PyTorch's own folder, may stay."""
    hidden = [p.name for p in out.rglob(".*") if not p.name.endswith(".lock")]
    temporary = [p.name for p in (place / "temporary").iterdir()]
    return hidden + [name for name in temporary if not name.startswith("torchinductor")]


def kills(tally: Tally, rng: random.Random, place: Path) -> None:
    """Every command in turn, four kills and then an end."""
    if os.name == "nt":
        raise SystemExit("Windows forks no process: nothing is killed here.")
    (place / "temporary").mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(place / "temporary")
    signals = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    alone: dict[str, tuple[dict[str, Any], float]] = {}
    for round_number in itertools.count(rng.randrange(len(COMMANDS))):
        if not tally.left:
            return
        name = list(COMMANDS)[round_number % len(COMMANDS)]
        if name not in alone:
            started = time.monotonic()
            words = Process(name, place / name, 1, terminal=False).words()
            alone[name] = results(place / name), time.monotonic() - started
            if not alone[name][0]:
                tally.add("lost", f"{name} left alone gave nothing: {words[-500:]}")
                return
        expected, needed = alone[name]
        out, jobs = place / f"{name}{round_number}", rng.choice([1, 2, 2])
        for _ in range(min(4, tally.left)):
            process = Process(name, out, jobs, terminal=rng.random() < 0.5)
            # Workers of their own have to start first.
            time.sleep(rng.uniform(0.1, 1.0) * needed * jobs)
            how = rng.choice(signals)
            left = process.end(how)
            for child in left:
                child.kill()
            words = process.words()
            bad = "Traceback" in words or "Exception" in words
            outcome = "traceback" if bad else "lost" if left else "fine"
            told = f"{name}, {jobs} jobs, {signal.Signals(how).name}: {len(left)} processes left"
            tally.add(outcome, f"{told}; {words[-2500:] if bad else ''}")
        words = Process(name, out, jobs, terminal=rng.random() < 0.5).words()
        there, waste = results(out), left_over(out, place)
        if there != expected or waste or "Traceback" in words:
            other = [k for k in {*there, *expected} if there.get(k) != expected.get(k)]
            tally.add("lost", f"{name}, {jobs} jobs, in the end: {other} {waste} {words[-700:]}")
