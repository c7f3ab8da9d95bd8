"""How the course's network was chosen: candidates, short runs, and a log of every one of them.

A candidate is a network as data, built from one of five kinds of block. Each run trains on a part
of the training images and is judged on 5,000 others, so the test images play no part in the choice.
The log (``LOG``) has a row a configuration, those stopped early and those that came out badly too:

``parameters``           a note says so where they are more than the course allows itself
``learning_rate``        its highest value during the run (one-cycle)
``validation_accuracy``  on the held-out images after the last epoch done, %
``train_accuracy``       running average over the last epoch's augmented batches, %
``cpu_seconds``          of one thread, with other processes beside it; empty where only the clock
                         was read, and then the notes have its time

Rows are on the validation split of CIFAR-10's JPEG copy unless their notes name another data set.
Those with CPU seconds, and those stopped early, come from a script that preceded this module; it
trained the same networks on the same split, with seed 0. Rows of ``course`` whose notes name
another activation, other widths or another batch size come from scripts that changed the course's
network or recipe, with seed 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.data import load_images
from common.experiments.runs import Run, parameters_of, refuse_stand_in, run_all
from common.files import check_target, locked, write_atomically
from common.networks import CANDIDATES
from common.settings import ROOT, quick
from common.training import SHARED, Recipe

if TYPE_CHECKING:
    from common.training import History


LIMIT = 50_000  # the course network has fewer parameters than this
LOG = ROOT / "common" / "results" / "search.csv"
LOGGED_DATASET = "CIFAR-10 (JPEG copy), validation split"
OVER_LIMIT = "over the limit, a probe"
RECIPES = {"muon": SHARED, "sgd": Recipe()}
COURSE = "course"  # what the search led to: a candidate among the others, built by common.networks


def plan(
    candidates: Iterable[str],
    norms: Iterable[str] = ("batch",),
    learning_rates: Iterable[float] = (),
    *,
    optimiser: str = "muon",
    epochs: int = 6,
    train_images: int | None = None,
    seed: int = 1,
    data: str = "cifar10",
    changes: Mapping[str, Any] | None = None,
) -> list[Run]:
    """Every candidate with every norm at every learning rate: the same grid for all.

    Args:
        candidates: keys of ``CANDIDATES``, or ``course`` for the course's network.
        learning_rates: none for the recipe's own.
        optimiser: ``muon``, the course's recipe, or ``sgd``, the recipe the search began with.
        train_images: how many of the training images that are not held out; None for all.
        changes: other fields of the recipe, the same for all.

    Raises ``ValueError`` for an unknown candidate or optimiser, or a recipe that cannot be.
    """
    if optimiser not in RECIPES:
        raise ValueError(f"Unknown optimiser {optimiser!r}; choose one of {', '.join(RECIPES)}.")
    recipe = replace(RECIPES[optimiser], epochs=epochs, seed=seed, **(changes or {}))
    changed = "".join(f"-{words.replace(' ', '')}" for words in _changes(recipe))
    rates = list(learning_rates) or [recipe.learning_rate]
    runs = []
    for name, norm, rate in product(candidates, norms, rates):
        if name not in CANDIDATES and name != COURSE:
            known = ", ".join((COURSE, *CANDIDATES))
            raise ValueError(f"Unknown candidate {name!r}; choose from {known}.")
        images = "" if train_images is None else f"-images{train_images}"
        runs.append(
            Run(
                name,
                norm,
                replace(recipe, learning_rate=rate),
                data=data,
                validation=True,
                label=f"{optimiser}-lr{rate:g}-epochs{epochs}{images}{changed}",
                train_images=train_images,
                builder=CANDIDATES[name].build if name in CANDIDATES else None,
            )
        )
    return runs


def parse_changes(words: Iterable[str]) -> dict[str, Any]:
    """Fields of the recipe from words like ``alternating=True`` and ``sizes=24x8``.

    Sizes are written as they are logged, ``16x1+24x7`` for one epoch at 16 pixels and seven at 24.
    Raises ``ValueError`` for what is no field, or one that the search has an option for.
    """
    own = {"optimiser", "learning_rate", "epochs", "seed"}
    known = {field.name: field.type for field in fields(Recipe) if field.name not in own}
    changes: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known or not value:
            raise ValueError(f"{word!r} is no NAME=VALUE with one of {', '.join(known)}.")
        parse, wanted = _PARSERS[known[name]]
        try:
            changes[name] = parse(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{name}={value} cannot be read; name {wanted}.") from error
    return changes


def _parse_sizes(text: str) -> tuple[int, ...]:
    sizes: tuple[int, ...] = ()
    for part in text.split("+"):
        size, _, epochs = part.partition("x")
        if int(epochs or 1) < 1:
            raise ValueError
        sizes += (int(size),) * int(epochs or 1)
    return sizes


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "bool": ({"True": True, "False": False}.__getitem__, "True or False"),
    "float": (float, "a number"),
    "int": (int, "a whole number"),
    "str": (str, "a word"),
    "tuple[int, ...]": (_parse_sizes, "sizes and their epochs, such as 16x1+24x7"),
}


def _changes(recipe: Recipe) -> list[str]:
    """What the recipe has besides rate, epochs and seed that its optimiser's own has not."""
    usual = RECIPES.get(recipe.optimiser, recipe)
    columns = {"learning_rate", "epochs", "seed"}
    words = []
    for name, value in vars(recipe).items():
        if name in columns or value == getattr(usual, name):
            continue
        if name == "sizes":
            value = "+".join(f"{size}x{len(list(run))}" for size, run in groupby(value))
        words.append(name if value is True else f"{name} {value}")
    return words


def perform(
    runs: Sequence[Run],
    folder: Path,
    *,
    jobs: int | None = None,
    device: str | None = None,
    stand_in: bool = True,
) -> list[Row]:
    """Perform the runs that ``folder`` does not hold yet; a row for each of all, in order.

    ``stand_in`` says whether the built-in images will do where CIFAR-10 cannot be had; ``jobs``
    and ``device`` are those of ``run_all``, which says what is raised.
    """
    images = {name: load_images(name) for name in {run.data for run in runs}}
    if not stand_in:
        for data in images.values():
            refuse_stand_in(data)
    # Counted first: a norm that does not fit is found before anything is trained.
    counts = [parameters_of(run, images[run.data]) for run in runs]
    histories = run_all(runs, folder, jobs=jobs, device=device)
    return list(map(as_row, runs, histories, counts))


@dataclass(frozen=True)
class Row:
    """One configuration and what came of it, as the log has it (see the top of this module)."""

    name: str
    block: str
    parameters: int
    norm: str
    optimiser: str
    learning_rate: float
    epochs: int
    epochs_done: int
    train_images: int
    validation_accuracy: float | None = None
    train_accuracy: float | None = None
    cpu_seconds: int | None = None
    notes: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def as_row(run: Run, history: History, parameters: int) -> Row:
    """The row of a finished or diverged run of a network that has so many parameters."""
    candidate = CANDIDATES.get(run.network)
    last = history.epochs[-1] if history.epochs else None
    threads = "1 thread" if history.threads == 1 else f"{history.threads} threads"
    clock = f"{history.seconds:.0f} s on the clock, {threads}, {history.device}"
    notes = [
        OVER_LIMIT if parameters >= LIMIT else "",
        history.failure,
        *_changes(history.recipe),
        f"seed {history.seed}" if history.seed != 1 else "",
        history.dataset if history.dataset != LOGGED_DATASET else "",
        clock if history.epochs else "",
    ]
    return Row(
        name=run.network,
        block=candidate.block if candidate else "inverted",
        parameters=parameters,
        norm=run.norm,
        optimiser=history.recipe.optimiser,
        learning_rate=history.recipe.learning_rate,
        epochs=history.recipe.epochs,
        epochs_done=len(history.epochs),
        train_images=history.train_images,
        validation_accuracy=round(last["test_accuracy"], 2) if last else None,
        train_accuracy=round(last["train_accuracy"], 2) if last else None,
        notes="; ".join(note for note in notes if note),
    )


def default_log(data: str, folder: Path) -> Path:
    """The course's log for CIFAR-10; one beside the runs for other images and quick trials."""
    return LOG if data == "cifar10" and not quick() else folder / LOG.name


def load_log(path: str | Path = LOG) -> list[Row]:
    """The rows of a log, in the order in which they were tried; none if there is no such file.

    Raises ``ValueError`` if the file is something else.
    """
    path = Path(path)
    if not path.exists():
        return []
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    if tuple(next(reader, ())) != COLUMNS:
        raise ValueError(
            f"{path} is no log of the search: its columns are not {','.join(COLUMNS)}. "
            "Name another file."
        )
    try:
        return [_parse(cells) for cells in reader]
    except ValueError as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _parse(cells: list[str]) -> Row:
    kinds = {"int": int, "float": float, "str": str}
    values = []
    for field, cell in zip(fields(Row), cells, strict=True):
        kind, _, optional = field.type.partition(" | ")
        values.append(None if optional and not cell else kinds[kind](cell))
    return Row(*values)


def add_to_log(rows: Iterable[Row], path: str | Path = LOG) -> Path:
    """Append the rows that the log does not hold yet, so that a repeated command adds nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), "is adding rows to the log"):
        known = load_log(path)
        there = set(map(_apart_from_the_clock, known))
        new = {_apart_from_the_clock(row): row for row in rows}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        added = [row for key, row in new.items() if key not in there]
        writer.writerows(map(astuple, [*known, *added]))
        return write_atomically(path, text.getvalue())


def _apart_from_the_clock(row: Row) -> Row:
    """The row without its time: a run done again takes another."""
    return replace(row, notes=re.sub(r"\d+ s on the clock", "", row.notes))


def perform_and_log(
    runs: Sequence[Run],
    folder: Path,
    log: Path,
    *,
    jobs: int | None = None,
    device: str | None = None,
) -> list[Row]:
    """``perform``, then ``add_to_log``; the course's own log takes no runs on a stand-in."""
    check_target(log, load_log)  # before anything is trained
    own = log.resolve() != LOG.resolve()
    rows = perform(runs, folder, jobs=jobs, device=device, stand_in=own)
    add_to_log(rows, log)
    return rows


def table(rows: Iterable[Row]) -> str:
    """The rows as plain text, the best first among those of equal epochs and training images."""
    lines = [
        f"{'candidate':<16}  {'parameters':>10}  {'norm':<5}  {'optimiser, rate':<15}  "
        f"{'epochs':>7}  {'images':>6}  {'validation %':>12}  {'train %':>7}  notes"
    ]
    for row in sorted(rows, key=_rank):
        lines.append(
            f"{row.name:<16}  {row.parameters:>10,}  {row.norm:<5}  "
            f"{f'{row.optimiser} {row.learning_rate:g}':<15}  "
            f"{f'{row.epochs_done} of {row.epochs}':>7}  {row.train_images:>6}  "
            f"{_percent(row.validation_accuracy):>12}  {_percent(row.train_accuracy):>7}  "
            f"{row.notes}".rstrip()
        )
    return "\n".join(lines)


def _rank(row: Row) -> tuple[float, ...]:
    return -row.train_images, -row.epochs, -row.epochs_done, -(row.validation_accuracy or 0)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
