"""The pieces that every table is put together from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from common.experiments import summarise
from common.reports.kept import finished
from common.training import History

NOTHING_YET = "*The runs behind this table are not in yet.*"
DASH = "–"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; ``align`` has an ``l`` or an ``r`` for each column."""
    marks = ["---:" if side == "r" else "---" for side in align.ljust(len(header), "l")]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def accuracy_cell(runs: Sequence[History], name: str = "test_accuracy") -> str:
    """``mean ± sd (n = …)`` over the finished runs; those that diverged are counted beside it."""
    done, diverged = finished(runs), [run for run in runs if run.failure]
    words = [str(summarise([getattr(run, name) for run in done]))] if done else []
    if diverged:
        words.append(f"{len(diverged)} diverged")
    return ", ".join(words) or DASH


def last_epoch_cell(runs: Sequence[History]) -> str:
    """``test (train)`` as a source would report it: both of the last epoch, train as it ran."""
    done = finished(runs)
    if not done:
        return accuracy_cell(runs)
    test = summarise([run.test_accuracy for run in done])
    train = fmean(run.epochs[-1]["train_accuracy"] for run in done)
    return f"{test if len(done) > 1 else f'{test.mean:.2f}'} ({train:.2f})"


def number_words(values: Iterable[int]) -> str:
    """``1 to 5`` for a gapless series of numbers, else all of them."""
    values = sorted(set(values))
    if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return " and ".join(filter(None, [", ".join(map(str, values[:-1])), str(values[-1])]))


def seed_words(runs: Sequence[History]) -> str:
    """The seeds of these runs, for instance ``Seeds 1 to 5``."""
    seeds = {run.seed for run in runs}
    return f"{'Seed' if len(seeds) == 1 else 'Seeds'} {number_words(seeds)}"


def device_words(run: History) -> str:
    """What a run was made on, in a few words."""
    threads = f", {run.threads} thread{'s' if run.threads > 1 else ''}"
    return run.device + (threads if run.device.startswith("CPU") else "")


def signed(points: float) -> str:
    """A number of points with its sign, for instance ``+0.73``."""
    return f"{points:+.2f}".replace("-", "−")


def each(values: Iterable[str]) -> str:
    """Every value once, in order, joined by semicolons."""
    return "; ".join(dict.fromkeys(values)) or DASH
