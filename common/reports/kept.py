"""The results that count: what the tables and figures are made from.

In a git checkout only files that git knows count, so that trial runs never get into a page: give
results and figures to ``git add`` before the tables are made.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.experiments import FIELD, RECIPES
from common.settings import LESSONS, ROOT
from common.training import History
from common.visualisation import LABELS

# Files of the course's network: what stands between norm and seed in their names, and its heading.
COURSE_LABELS = {
    "": "One recipe for all norms",
    "tuned": "Each norm at the best learning rate tried",
}


@dataclass
class Results:
    """Everything the tables are made from.

    Attributes:
        root: the course's folder.
        counts: whether a file is one of its results (see the top of this module).
        course: runs of the course's network by label (see ``COURSE_LABELS``).
        field_runs: runs of a network and norm of the field with the ``source``'s or ``course``'s
            recipe, ``(network, norm, recipe) -> runs``.
        compressed: likewise, the runs on images that were stored as JPEG first.
        search: rows of the log of how the course's network was chosen, as text by column.
        race: what the race to 70 % came to, a row a run, as text by column.
        benchmark, on_gpu, targets: what ``python -m common benchmark`` measured on a CPU, on a
            GPU, and of the time to a target; or None.
        left_out: runs that are there and do not count.
    """

    root: Path
    counts: Callable[[Path], bool] = Path.exists
    course: dict[str, list[History]] = field(default_factory=dict)
    field_runs: dict[tuple[str, str, str], list[History]] = field(default_factory=dict)
    compressed: dict[tuple[str, str, str], list[History]] = field(default_factory=dict)
    search: list[dict[str, str]] = field(default_factory=list)
    race: list[dict[str, str]] = field(default_factory=list)
    benchmark: dict[str, Any] | None = None
    on_gpu: dict[str, Any] | None = None
    targets: dict[str, Any] | None = None
    left_out: list[Path] = field(default_factory=list)


def load_results(root: str | Path = ROOT) -> Results:
    """The results kept under ``<lesson>/results`` and ``common/results``; any may be missing.

    Raises ``ValueError`` for a file that is no history, or one of quick mode.
    """
    root = Path(root)
    results = Results(root, _known_to_git(root))
    for label, norm in itertools.product(COURSE_LABELS, LESSONS):
        name = "-".join(part for part in ("course", norm, label) if part)
        results.course.setdefault(label, []).extend(_load(results, norm, name))
    for entry, which in itertools.product(FIELD, RECIPES):
        key, name = (entry.network, entry.norm, which), f"{entry.network}-{entry.norm}-{which}"
        results.field_runs[key] = _load(results, entry.norm, name)
        results.compressed[key] = _load(results, entry.norm, f"{name}-jpeg*")
    results.search = _rows(results, "search.csv")
    results.race = _rows(results, "race.csv")
    files = {"benchmark": "benchmark", "on_gpu": "benchmark-gpu", "targets": "targets"}
    for name, file in files.items():
        path = root / "common" / "results" / f"{file}.json"
        if results.counts(path):
            setattr(results, name, json.loads(path.read_text(encoding="utf-8")))
    return results


def _rows(results: Results, name: str) -> list[dict[str, str]]:
    path = results.root / "common" / "results" / name
    if not results.counts(path):
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _known_to_git(root: Path) -> Callable[[Path], bool]:
    """Whether git knows a file that is there; without git, every file that is there is known."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return Path.exists
    command = ["git", "ls-files", "-z", "--", "*/results/*"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
    if listed.returncode:
        raise ValueError(f"git cannot say which results belong to {root}: {listed.stderr.strip()}")
    known = {root / name for name in listed.stdout.split("\0") if name}
    return lambda path: path in known and path.exists()


def _load(results: Results, norm: str, name: str) -> list[History]:
    found = []
    for path in (results.root / LESSONS[norm] / "results").glob(f"{name}-seed*.json"):
        if not results.counts(path):
            results.left_out.append(path)
            continue
        history = History.load(path)
        if history.quick:
            raise ValueError(
                f"{path} was made in quick mode: its figures mean nothing. Delete it, and train "
                "without --quick."
            )
        found.append(history)
    return sorted(found, key=lambda history: history.seed)


def finished(runs: Iterable[History]) -> list[History]:
    """The runs that reached their last epoch."""
    return [run for run in runs if run.finished]


def grouped(runs: Iterable[History]) -> list[tuple[tuple[str, str], list[History]]]:
    """Runs by norm and data set, the norms in the course's order."""
    table: dict[tuple[str, str], list[History]] = {}
    for run in runs:
        table.setdefault((run.norm, run.dataset), []).append(run)
    return sorted(table.items(), key=lambda item: (list(LABELS).index(item[0][0]), item[0][1]))
