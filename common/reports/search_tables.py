"""Tables of the search: every configuration that was tried, and the grid of learning rates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from common.reports.cells import DASH, NOTHING_YET, markdown
from common.reports.kept import Results
from common.settings import LESSONS
from common.visualisation import LABELS


def search_section(results: Results, most: int = 12) -> str:
    """Every configuration tried, best first among those of equal length; the tail is folded."""
    if not results.search:
        return NOTHING_YET
    from common.experiments import search

    columns = {
        "name": "Configuration",
        "block": "Block",
        "parameters": "Parameters",
        "norm": "Norm",
        "optimiser": "Optimiser",
        "learning_rate": "Learning rate",
        "epochs": "Epochs",
        "train_images": "Images",
        "validation_accuracy": "Validation %",
        "train_accuracy": "Train %",
        "cpu_seconds": "CPU s",
        "notes": "Notes",
    }
    columns = {name: title for name, title in columns.items() if name in results.search[0]}
    rows = [[_cell(row, name) for name in columns] for row in sorted(results.search, key=_length)]
    words = {"name", "block", "norm", "optimiser", "notes"}
    align = "".join("l" if name in words else "r" for name in columns)
    text = learning_rate_grid(results.search)
    text += markdown(list(columns.values()), rows[:most], align)
    if len(rows) > most:
        rest = markdown(list(columns.values()), rows[most:], align)
        text += f"\n\n<details><summary>{len(rows) - most} more</summary>\n\n{rest}\n\n</details>"
    note = (
        f"{len(rows)} runs, one a configuration where the notes name no second seed, trained on a "
        "part of the training images and judged on 5,000 others; the test images played no part. "
        f"Data set, where the notes name no other: {search.LOGGED_DATASET}. The longest runs "
        "first, then the best. Train %: running average of the last epoch. CPU s: of one thread, "
        "beside other runs. Times on the clock are of days on which the machine differed in speed."
    )
    return f"{text}\n\n{note}"


class _Grid(NamedTuple):
    """The course's network with every norm at every rate: validation accuracy in %."""

    epochs: str
    changes: str  # of the recipe, besides rate and seed
    rates: list[float]
    accuracy: dict[tuple[str, float], float]  # (norm, rate) -> mean of its runs
    most: int  # runs behind a mean

    def best(self, norm: str) -> float:
        return max(self.rates, key=lambda rate: self.accuracy[norm, rate])


def _grids(rows: Sequence[dict[str, str]]) -> Iterator[_Grid]:
    """What the log has all of: a grid for each number of epochs, optimiser, change and so on."""
    same = ("epochs", "parameters", "optimiser", "train_images")
    found: dict[tuple[str, ...], dict[tuple[str, float], list[float]]] = {}
    for row in rows:
        finished = row.get("epochs_done", row["epochs"]) == row["epochs"]
        if row["name"] == "course" and finished and row.get("validation_accuracy"):
            at = row["norm"], float(row["learning_rate"])
            changes = "; ".join(filter(_is_change, row.get("notes", "").split("; ")))
            key = *(row.get(name, "") for name in same), changes
            runs = found.setdefault(key, {})
            runs.setdefault(at, []).append(float(row["validation_accuracy"]))
    for (epochs, *_, changes), runs in found.items():
        rates = sorted({rate for _, rate in runs})
        if len(rates) > 1 and set(runs) == set(itertools.product(LESSONS, rates)):
            means = {at: fmean(mine) for at, mine in runs.items()}
            yield _Grid(epochs, changes, rates, means, max(map(len, runs.values())))


def _is_change(note: str) -> bool:
    """Whether a note of the log tells runs apart, and is not only of the seed or the clock."""
    return not note.startswith("seed ") and "on the clock" not in note


def learning_rate_grid(rows: Sequence[dict[str, str]]) -> str:
    """A table norm × learning rate of the course's network, where the log has all of a grid."""
    text = ""
    for grid in _grids(rows):
        made = "one run each" if grid.most == 1 else f"means of up to {grid.most} runs"
        table = []
        for norm in LESSONS:
            cells = [f"{grid.accuracy[norm, rate]:.2f}" for rate in grid.rates]
            place = grid.rates.index(grid.best(norm))
            cells[place] = f"**{cells[place]}**"
            table.append([LABELS[norm], *cells])
        header = ["Validation %, by learning rate", *(f"{rate:g}" for rate in grid.rates)]
        text += f"{markdown(header, table, 'l' + 'r' * len(grid.rates))}\n\n"
        how = f"{grid.epochs} epochs{f' ({grid.changes})' if grid.changes else ''}, {made}"
        text += f"The course's network, {how}. {_edges(grid)}".strip()
        text += "\n\n"
    return text


def edge_words(rows: Sequence[dict[str, str]]) -> str:
    """Whose best learning rate lies at the edge of what was tried; may be empty."""
    return " ".join(filter(None, map(_edges, _grids(rows))))


def _edges(grid: _Grid) -> str:
    sentences = []
    for rate, end in ((grid.rates[0], "lowest"), (grid.rates[-1], "highest")):
        if names := [LABELS[norm] for norm in LESSONS if grid.best(norm) == rate]:
            sentences.append(
                f"For {' and '.join(names)} the best rate, {rate:g}, is the {end} that was tried: "
                f"a {'lower' if end == 'lowest' else 'higher'} one may be better still."
            )
    return " ".join(sentences)


def _length(row: dict[str, str]) -> tuple[float, ...]:
    names = ("train_images", "epochs", "epochs_done", "validation_accuracy")
    return tuple(-float(row.get(name) or 0) for name in names)


def _cell(row: dict[str, str], name: str) -> str:
    value = (row.get(name) or "").strip()
    if not value:
        return DASH if name != "notes" else ""
    if name == "epochs" and row.get("epochs_done", value) not in ("", value):
        return f"{row['epochs_done']} of {value}"
    if name in ("parameters", "train_images", "cpu_seconds"):
        return f"{float(value):,.0f}"
    if name.endswith("_accuracy"):
        return f"{float(value):.2f}"
    return value.replace("|", r"\|")
