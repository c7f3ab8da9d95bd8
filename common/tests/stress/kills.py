"""Commands ended at any moment, again and again; their end is that of one left alone."""

from __future__ import annotations

import csv
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from safetensors.torch import load_file

from common.tests.stress.tally import Tally
from common.training import History, checksum

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
    """A command in a session of its own, in a terminal or with its words in a file."""

    def __init__(self, name: str, out: Path, jobs: int, place: Path, terminal: bool) -> None:
        words = COMMANDS[name].replace("OUT", str(out)).split()
        line = [sys.executable, "-m", "common", name, "--quick", *words]
        line += ["--jobs", str(jobs)] if name != "train" else []
        (temporary := place / "temporary").mkdir(exist_ok=True)
        environment = os.environ | {"TMPDIR": str(temporary), "NORMS_THREADS": "2"}
        self.read, write = self._pair(terminal)
        self.said = b""
        self.process = subprocess.Popen(
            line, stdout=write, stderr=write, env=environment, start_new_session=True
        )
        os.close(write)
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()

    @staticmethod
    def _pair(terminal: bool) -> tuple[int, int]:
        if not terminal or os.name == "nt":
            return os.pipe()
        import pty

        return pty.openpty()

    def _collect(self) -> None:
        try:
            while block := os.read(self.read, 4096):
                self.said += block
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(self.read)

    def end(self, how: int) -> list[psutil.Process]:
        """End it with this signal; its descendants that are still there after ten seconds."""
        family = psutil.Process(self.process.pid)
        children = family.children(recursive=True) if self.process.poll() is None else []
        if how == signal.SIGINT:  # as a terminal does it: to all of them
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            children.append(family)
        _, left = psutil.wait_procs(children, timeout=10)
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
    """What is neither a result nor of use; a lock that stays is."""
    hidden = [p.name for p in out.rglob(".*") if not p.name.endswith(".lock")]
    return hidden + [p.name for p in (place / "temporary").iterdir()]


def kills(tally: Tally, rng: random.Random, place: Path) -> None:
    """Every command in turn, four kills and then an end."""
    signals = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    alone: dict[str, tuple[dict[str, Any], float]] = {}
    for round_number in itertools.count(rng.randrange(len(COMMANDS))):
        if not tally.left:
            return
        name = list(COMMANDS)[round_number % len(COMMANDS)]
        if name not in alone:
            started = time.monotonic()
            process = Process(name, place / name, 1, place, terminal=False)
            words = process.words()
            alone[name] = results(place / name), time.monotonic() - started
            if process.process.returncode or not alone[name][0]:
                tally.add("lost", f"{name} left alone gave nothing: {words[-500:]}")
                return
        expected, needed = alone[name]
        out, jobs = place / f"{name}{round_number}", rng.choice([1, 2, 2])
        for _ in range(min(4, tally.left)):
            process = Process(name, out, jobs, place, terminal=rng.random() < 0.5)
            time.sleep(rng.uniform(0.3, 1.0) * needed)
            how = rng.choice(signals)
            left = process.end(how)
            for child in left:
                child.kill()
            words = process.words()
            bad = "Traceback" in words or "Exception" in words
            outcome = "traceback" if bad else "lost" if left else "fine"
            told = f"{name}, {jobs} jobs, {signal.Signals(how).name}: {len(left)} processes left"
            tally.add(outcome, f"{told}; {words[-2500:] if bad else ''}")
        process = Process(name, out, jobs, place, terminal=rng.random() < 0.5)
        words = process.words()
        there, waste = results(out), left_over(out, place)
        if there != expected or waste or "Traceback" in words:
            other = [k for k in {*there, *expected} if there.get(k) != expected.get(k)]
            tally.add("lost", f"{name}, {jobs} jobs, in the end: {other} {waste} {words[-700:]}")
            for path in (place / "temporary").iterdir():  # told of once
                path.unlink() if path.is_file() else None
