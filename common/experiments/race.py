"""What the race to 70 % came to, kept as one file: a row a run."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from common.files import check_target, write_atomically
from common.settings import ROOT
from common.training import History

RACE_FILE = ROOT / "common" / "results" / "race.csv"
# Races that differ in one of these are not seeds of the same race.
_ALIKE = "network", "epochs", "sizes", "batch_size", "learning_rate", "dataset"


def race_row(history: History) -> dict[str, object]:
    """A finished or diverged run in numbers; accuracy in %, after the last epoch."""
    recipe = history.recipe
    return {
        "network": history.network,
        "norm": history.norm,
        "seed": history.seed,
        "parameters": history.parameters,
        "epochs": recipe.epochs,
        "sizes": " ".join(map(str, recipe.sizes)),
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "test_accuracy": "" if history.failure else round(history.test_accuracy, 2),
        "seconds": round(history.seconds, 1),
        "threads": history.threads,
        "device": history.device,
        "dataset": history.dataset,
        "torch": history.versions.get("torch", ""),
        "failure": history.failure,
    }


def check_race_file(path: Path) -> None:
    """Raise ``ValueError`` or ``OSError`` if ``save_race`` must not, or cannot, write there.

    To be asked before anything is trained: no file but an earlier race is replaced.
    """
    check_target(path, _rows)


def save_race(histories: Iterable[History], path: Path = RACE_FILE) -> Path:
    """Write these runs, a row each, beside those of other norms and seeds that are there.

    A race with another recipe or on other images is no part of this one: its rows go, and a line
    on stderr says so.
    """
    new = [{name: str(v) for name, v in race_row(history).items()} for history in histories]
    there = _rows(path) if path.exists() else []
    alike = [row for row in there if all(row.get(name) == new[0][name] for name in _ALIKE)]
    if gone := len(there) - len(alike):
        print(
            f"{path}: {gone} races with another recipe or on other images have been replaced.",
            file=sys.stderr,
        )
    rows = {(row["norm"], int(row["seed"])): row for row in [*alike, *new]}
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(new[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[key] for key in sorted(rows))
    return write_atomically(path, text.getvalue())


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of races; raises ``ValueError`` for any other file."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("network,norm,seed,"):
        raise ValueError(f"{path} holds no races.")
    return list(csv.DictReader(io.StringIO(text)))
