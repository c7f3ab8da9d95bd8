"""What the race to 70 % came to, kept as one file: a row a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from common.files import check_target, write_atomically
from common.settings import ROOT
from common.training import History

RACE_FILE = ROOT / "common" / "results" / "race.csv"


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

    def read(path: Path) -> None:
        if not path.read_text(encoding="utf-8").startswith("network,norm,seed,"):
            raise ValueError(f"{path} holds no races.")

    check_target(path, read)


def save_race(histories: Iterable[History], path: Path = RACE_FILE) -> Path:
    """Write these runs, and no others, a row each; nothing of a file that was there is left."""
    rows = [race_row(history) for history in sorted(histories, key=lambda h: (h.norm, h.seed))]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomically(path, text.getvalue())
