"""The tables of every README, made from the results that are kept with the lessons.

A README marks what belongs to a table with ``<!-- name:start -->`` and ``<!-- name:end -->``;
``python -m common tables`` writes between the two, and ``--check`` says whether it would. No figure
in a README is typed by hand, and a run that is not there yet is a dash.

In a git checkout only files that git knows count, so that trial runs never get into a README: give
results and figures to ``git add`` before the tables are made.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from common.field import FIELD, RECIPES, Entry, Source
from common.recipes import OWN_RATES, SHARED
from common.results import median_run
from common.settings import ROOT
from common.statistics import compare_means, summarise
from common.theme import LABELS, LESSONS
from common.training import History, write_atomically

if TYPE_CHECKING:
    from torch import nn

    from common.studies import Run

NOTHING_YET = "*The runs behind this table are not in yet.*"
DASH = "–"
# Files of the course's network: what stands between norm and seed in their names, and its heading.
COURSE_LABELS = {
    "": "One recipe for all norms",
    "tuned": "Each norm at its own best learning rate",
}


# What there is ------------------------------------------------------------------------------------


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
        benchmark: what ``python -m common benchmark`` measured, or None.
        left_out: runs that are there and do not count.
    """

    root: Path
    counts: Callable[[Path], bool] = Path.exists
    course: dict[str, list[History]] = field(default_factory=dict)
    field_runs: dict[tuple[str, str, str], list[History]] = field(default_factory=dict)
    compressed: dict[tuple[str, str, str], list[History]] = field(default_factory=dict)
    search: list[dict[str, str]] = field(default_factory=list)
    benchmark: dict[str, Any] | None = None
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
    log = root / "common" / "results" / "search.csv"
    if results.counts(log):
        with log.open(encoding="utf-8", newline="") as file:
            results.search = list(csv.DictReader(file))
    benchmark = root / "common" / "results" / "benchmark.json"
    if results.counts(benchmark):
        results.benchmark = json.loads(benchmark.read_text(encoding="utf-8"))
    return results


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


# The pieces of a table ----------------------------------------------------------------------------


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; ``align`` has an ``l`` or an ``r`` for each column."""
    marks = ["---:" if side == "r" else "---" for side in align.ljust(len(header), "l")]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def _accuracy(runs: Sequence[History], name: str = "test_accuracy") -> str:
    """``mean ± sd (n = …)`` over the finished runs; those that diverged are counted beside it."""
    done, diverged = _finished(runs), [run for run in runs if run.failure]
    words = [str(summarise([getattr(run, name) for run in done]))] if done else []
    if diverged:
        words.append(f"{len(diverged)} diverged")
    return ", ".join(words) or DASH


def _finished(runs: Iterable[History]) -> list[History]:
    return [run for run in runs if run.finished]


def _last(runs: Sequence[History]) -> str:
    """``test (train)`` as a source would report it: both of the last epoch, train as it ran."""
    done = _finished(runs)
    if not done:
        return _accuracy(runs)
    test = summarise([run.test_accuracy for run in done])
    train = fmean(run.epochs[-1]["train_accuracy"] for run in done)
    return f"{test if len(done) > 1 else f'{test.mean:.2f}'} ({train:.2f})"


def _numbers(values: Iterable[int]) -> str:
    """``1 to 5`` for a gapless series of numbers, else all of them."""
    values = sorted(set(values))
    if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return " and ".join(filter(None, [", ".join(map(str, values[:-1])), str(values[-1])]))


def _seeds(runs: Sequence[History]) -> str:
    seeds = {run.seed for run in runs}
    return f"{'Seed' if len(seeds) == 1 else 'Seeds'} {_numbers(seeds)}"


def _device(run: History) -> str:
    threads = f", {run.threads} thread{'s' if run.threads > 1 else ''}"
    return run.device + (threads if run.device.startswith("CPU") else "")


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or DASH


# The course's network -----------------------------------------------------------------------------


def course_table(runs: Sequence[History]) -> str:
    """The course's network, a row a norm (and data set), and what its figures are."""
    if not runs:
        return NOTHING_YET
    rows = []
    for (norm, dataset), mine in _groups(runs):
        done = _finished(mine)
        if not done:
            rows.append([LABELS[norm], DASH, DASH, _accuracy(mine), *[DASH] * 4, dataset])
            continue
        test = summarise([run.test_accuracy for run in done])
        interval = f"{test.low:.2f} to {test.high:.2f}" if test.runs > 1 else DASH
        rows.append(
            [
                LABELS[norm],
                f"{done[0].parameters:,}",
                _accuracy(done, "train_accuracy"),
                f"**{test.mean:.2f}**" + _accuracy(mine).removeprefix(f"{test.mean:.2f}"),
                interval,
                _numbers({run.recipe.epochs for run in done}),
                f"{fmean(run.seconds for run in done) / 60:.1f}",
                _each(map(_device, done)),
                dataset,
            ]
        )
    header = (
        *("Norm", "Parameters", "Train %", "Test %", "95 % interval", "Epochs"),
        *("Minutes a run", "Device", "Data set"),
    )
    note = (
        f"{_seeds(runs)}. Test accuracy after the last epoch; train accuracy of the whole training "
        "set after the last epoch, in evaluation mode; mean ± standard deviation over n seeds; "
        "Student's interval of the mean. Minutes: on a machine shared with other runs."
    )
    return markdown(header, rows, "lrrrrrr") + f"\n\n{note}"


def differences_table(runs: Sequence[History]) -> str:
    """Welch's test for each pair of norms on the same images; empty where no pair has two runs."""
    rows = []
    groups = [(key, _finished(mine)) for key, mine in _groups(runs)]
    groups = [(key, mine) for key, mine in groups if len(mine) > 1]
    for ((one, dataset), first), ((other, same), second) in itertools.combinations(groups, 2):
        if dataset == same:
            found = compare_means(
                *([run.test_accuracy for run in mine] for mine in (first, second))
            )
            p = "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
            rows.append(
                [
                    f"{LABELS[one]} − {LABELS[other]}",
                    _signed(found.mean),
                    f"{_signed(found.low)} to {_signed(found.high)}",
                    p,
                    f"{len(first)} and {len(second)}",
                    dataset,
                ]
            )
    if not rows:
        return ""
    header = ("Test accuracy", "Points", "95 % interval", "Welch's p", "Runs", "Data set")
    return markdown(header, rows, "lrrrr")


def course_section(results: Results) -> str:
    """The course's network: a table and the differences for each way it was trained."""
    parts = []
    for label, runs in results.course.items():
        if label == "tuned" and runs:
            runs = runs + _at_home_with_the_shared_rate(results)
        if runs:
            parts += [f"**{COURSE_LABELS[label]}** ({_rates(runs)})", course_table(runs)]
            parts.append(differences_table(runs))
    return "\n\n".join(part for part in parts if part) or NOTHING_YET


def _at_home_with_the_shared_rate(results: Results) -> list[History]:
    """The shared recipe's runs of norms whose own best learning rate is the shared one."""
    same = [norm for norm, rate in OWN_RATES.items() if rate == SHARED.learning_rate]
    return [run for run in results.course[""] if run.norm in same]


def _rates(runs: Sequence[History]) -> str:
    """What the learning rates were: one, or one a norm."""
    rates = {LABELS[norm]: f"{mine[0].recipe.learning_rate:g}" for (norm, _), mine in _groups(runs)}
    if len(set(rates.values())) == 1:
        return f"{runs[0].recipe.optimiser}, learning rate {next(iter(rates.values()))}"
    each = ", ".join(f"{name} {rate}" for name, rate in rates.items())
    return f"{runs[0].recipe.optimiser}, learning rates {each}"


def _groups(runs: Iterable[History]) -> list[tuple[tuple[str, str], list[History]]]:
    """Runs by norm and data set, the norms in the course's order."""
    table: dict[tuple[str, str], list[History]] = {}
    for run in runs:
        table.setdefault((run.norm, run.dataset), []).append(run)
    return sorted(table.items(), key=lambda item: (list(LABELS).index(item[0][0]), item[0][1]))


# The networks of the field ------------------------------------------------------------------------


def field_table(results: Results, entries: Sequence[Entry] = FIELD) -> str:
    """Networks of the field: what is claimed, and what was measured with both recipes."""
    from common.recipes import course_recipe

    rows = []
    for entry in entries:
        source, course = _both(results, entry)
        epochs = [recipe.epochs for recipe in (entry.recipe, course_recipe(entry.norm)) if recipe]
        model = _model(entry.network, entry.norm)
        gain = _gain(source, course)
        rows.append(
            [
                f"`{entry.network}`",
                norm_words(model),
                f"{_parameters(model):,}",
                " / ".join(map(str, dict.fromkeys(epochs))),
                f"{entry.claim.test:.2f} ({entry.claim.train:.2f})" if entry.claim else DASH,
                _last(source),
                _accuracy(course),
                DASH if gain is None else _signed(gain),
                _each(run.dataset for run in (*source, *course)),
            ]
        )
    header = (
        *("Network", "Norm", "Parameters", "Epochs", "Claimed"),
        *("Source's recipe", "Course's recipe", "Gain", "Data set"),
    )
    return markdown(header, rows, "llrrrrrr")


def field_notes(results: Results, entries: Sequence[Entry] = FIELD) -> str:
    """What the figures of the field's table are, made with which seeds on which devices."""
    runs = {which: [] for which in RECIPES}
    for entry in entries:
        for which, mine in zip(RECIPES, _both(results, entry), strict=True):
            runs[which] += mine
    whose = {"source": "sources'", "course": "course's"}
    made = [
        f"{_seeds(mine).lower()} with the {whose[which]} recipe{'s' * (which == 'source')}"
        for which, mine in runs.items()
        if mine
    ]
    text = [
        "Test accuracy in % after the last epoch, one run or mean ± standard deviation over n "
        "seeds. In brackets what the sources call train accuracy: the running average of the last "
        "epoch, over augmented images, while the weights still move. Epochs: the source's / the "
        "course's, where they differ. Gain: the course's recipe against the source's on the same "
        "images, in points. Sources report one run each, on CIFAR-10's original images.",
    ]
    if made:
        devices = _each(_device(run) for mine in runs.values() for run in mine)
        text.append(f"{', '.join(made)}; {devices}.")
        text[-1] = text[-1][0].upper() + text[-1][1:]
    notes: dict[str, list[str]] = {}
    for entry in entries:
        if entry.note:
            notes.setdefault(entry.note, []).append(f"`{entry.network}` ({LABELS[entry.norm]})")
    lines = [f"- {', '.join(names)}: {note[0].lower()}{note[1:]}" for note, names in notes.items()]
    return " ".join(text) + ("\n\n" + "\n".join(lines) if lines else "")


def field_findings(results: Results, entries: Sequence[Entry] = FIELD) -> str:
    """Where the course's recipe stays below a claim or within the spread; empty without runs."""
    gaps, reached, below, close, clear = [], [], [], [], []
    for entry in entries:
        source, course = map(_finished, _both(results, entry))
        name = f"`{entry.network}` {LABELS[entry.norm]}"
        if source and entry.claim:
            gaps.append(fmean(run.test_accuracy for run in source) - entry.claim.test)
        if course and entry.claim:
            gap = fmean(run.test_accuracy for run in course) - entry.claim.test
            (reached if gap >= 0 else below).append(f"{name} ({_signed(gap)})")
        gain, spread = _gain(source, course), _spread(source, course)
        if gain is not None and spread is not None:
            text = f"{name} ({_signed(gain)} ± {spread:.2f})"
            (clear if gain > spread else close).append(text)
    lines = []
    if gaps:
        lines.append(
            f"With the sources' own recipes the results here are {_away(fmean(gaps))} their claims "
            f"on average ({len(gaps)} network{'s' if len(gaps) > 1 else ''}): what other images, "
            "the repairs and chance make together."
        )
    if reached or below:
        share = f"{len(reached)} of {len(reached) + len(below)}"
        lines.append(
            f"With the course's recipe {share} networks are at or above their source's claim"
            + (f"; below it: {', '.join(below)}." if below else ".")
        )
    if clear or close:
        share = f"{len(clear)} of {len(clear) + len(close)}"
        lines.append(
            f"On the same images {share} beat their source's recipe by more than the standard "
            "deviation over seeds" + (f"; not so: {', '.join(close)}." if close else ".")
        )
    if apart := _norms_apart(results, entries):
        lines.append(
            "From the best norm to the worst, with the source's recipe and then the course's: "
            f"{'; '.join(apart)}."
        )
    if gains := _pooling_gains(results, entries):
        lines.append(
            "Averaging all 7×7 cells at the end (`wide-31k-adaptive`) and not the top left 4×4 of "
            "them (`wide-31k`) changes, in points with the 95 % interval of the difference: "
            f"{'; '.join(gains)}."
        )
    return "\n".join(f"- {line}" for line in lines)


def both_ways(
    results: Results, entries: Sequence[Entry] = FIELD
) -> dict[str, list[tuple[list[History], list[History]]]]:
    """Networks with several norms that have finished runs of each, both ways, on the same images.

    ``network -> [(the source's runs, the course's runs), …]``, a pair a norm.
    """
    found = {}
    for network in dict.fromkeys(entry.network for entry in entries):
        mine = [entry for entry in entries if entry.network == network]
        both = [tuple(map(_finished, _both(results, entry))) for entry in mine]
        datasets = {run.dataset for pair in both for runs in pair for run in runs}
        if len(mine) > 1 and all(map(all, both)) and len(datasets) == 1:
            found[network] = both
    return found


def _norms_apart(results: Results, entries: Sequence[Entry]) -> list[str]:
    """How far the norms of a network lie apart with each recipe, a piece of text a network."""
    texts = []
    for network, both in both_ways(results, entries).items():
        points = [
            [fmean(run.test_accuracy for run in runs) for runs in which]
            for which in zip(*both, strict=True)
        ]
        source, course = (max(norms) - min(norms) for norms in points)
        texts.append(f"`{network}` {source:.2f} and {course:.2f} points")
    return texts


def _pooling_gains(results: Results, entries: Sequence[Entry]) -> list[str]:
    """What ``wide-31k`` gains from seeing its whole last map, a piece of text a norm."""
    shown = {(entry.network, entry.norm) for entry in entries}
    texts = []
    for norm in LESSONS:
        pair = ("wide-31k-adaptive", norm), ("wide-31k", norm)
        runs = [_finished(results.field_runs.get((*key, "course"), [])) for key in pair]
        datasets = {run.dataset for mine in runs for run in mine}
        if shown.issuperset(pair) and min(map(len, runs)) > 1 and len(datasets) == 1:
            found = compare_means(*([run.test_accuracy for run in mine] for mine in runs))
            interval = f"{_signed(found.low)} to {_signed(found.high)}"
            texts.append(f"{LABELS[norm]} {_signed(found.mean)} ({interval})")
    return texts


def compression_table(results: Results) -> str:
    """What it cost to store the images as JPEG (once more) before the training; may be empty."""
    rows = []
    for (network, norm, which), runs in results.compressed.items():
        plain = _finished(results.field_runs.get((network, norm, which), []))
        for (_, dataset), mine in _groups(_finished(runs)):
            original = [run for run in plain if dataset.startswith(f"{run.dataset}, ")]
            if not original:
                continue
            one, other = ([run.test_accuracy for run in some] for some in (mine, original))
            interval = DASH
            if min(len(one), len(other)) > 1:
                found = compare_means(one, other)
                interval = f"{_signed(found.low)} to {_signed(found.high)}"
            rows.append(
                [
                    f"`{network}`",
                    LABELS[norm],
                    f"the {which}'s",
                    original[0].dataset,
                    _accuracy(original),
                    dataset.removeprefix(f"{original[0].dataset}, "),
                    _accuracy(mine),
                    _signed(fmean(one) - fmean(other)),
                    interval,
                ]
            )
    if not rows:
        return ""
    header = (
        *("Network", "Norm", "Recipe", "Images", "Test %"),
        *("The same images", "Test %", "Points", "95 % interval"),
    )
    return "**What compression costs**\n\n" + markdown(header, rows, "llllrlrrr")


def _away(points: float) -> str:
    return f"{abs(points):.2f} points {'below' if points < 0 else 'above'}"


def source_notes(entries: Sequence[Entry] = FIELD) -> str:
    """Each source's own recipe, and what was repaired in it."""
    lines = []
    for source in dict.fromkeys(entry.source for entry in entries):
        link = f"[{source.name}](https://github.com/{source.name})"
        lines.append(f"- {link}: {_recipe_words(source)}. Repaired: {' '.join(source.repairs)}")
        lines[-1] += f" Different: {' '.join(source.differences)}"
    return "\n".join(lines)


def _recipe_words(source: Source) -> str:
    recipe = source.recipe
    mine = [entry.recipe for entry in FIELD if entry.source is source and entry.recipe]
    schedules = {
        "plateau": f"divided by ten after {recipe.patience + 1} epochs without progress",
        "one-cycle-cosine": "one cycle, as PyTorch has it",
    }
    names = {"adam": "Adam", "sgd": "SGD with momentum"}
    changes = []
    if recipe.augmentation == "randaugment":
        changes.append("RandAugment")
    if recipe.flip:
        changes.append("flip")
    if recipe.shift:
        changes.append(f"{recipe.shift}-pixel shift")
    text = [
        f"{names[recipe.optimiser]}, learning rate {recipe.learning_rate:g}, "
        f"{schedules[recipe.schedule]}",
        f"batch {' or '.join(str(b) for b in dict.fromkeys(r.batch_size for r in mine))}",
        f"{recipe.epochs} epochs",
        " and ".join(changes) or "no augmentation",
    ]
    return "; ".join(text)


def field_section(results: Results) -> str:
    """The whole field: table, findings, notes and recipes."""
    parts = [field_table(results), field_findings(results), field_notes(results)]
    parts.append(compression_table(results))
    recipes = "**The sources' recipes, and what was repaired**\n\n" + source_notes()
    return "\n\n".join(part for part in [*parts, recipes] if part)


def _both(results: Results, entry: Entry) -> tuple[list[History], list[History]]:
    source, course = (results.field_runs.get((entry.network, entry.norm, r), []) for r in RECIPES)
    return source, course


def _gain(source: Sequence[History], course: Sequence[History]) -> float | None:
    """Points that the course's recipe gains; None unless both were run on the same images."""
    source, course = _finished(source), _finished(course)
    if not source or not course or len({run.dataset for run in (*source, *course)}) > 1:
        return None
    first, second = (fmean(run.test_accuracy for run in runs) for runs in (course, source))
    return first - second


def _spread(source: Sequence[History], course: Sequence[History]) -> float | None:
    """The larger standard deviation of the two; None where neither has two runs."""
    several = [runs for runs in (source, course) if len(runs) > 1]
    spreads = [summarise([run.test_accuracy for run in runs]).deviation for runs in several]
    return max(spreads, default=None)


@cache
def _model(network: str, norm: str) -> nn.Module:
    from common.models import build

    return build(network, norm)


def _parameters(model: nn.Module) -> int:
    from common.models import count_parameters

    return count_parameters(model)


def norm_words(model: nn.Module) -> str:
    """Which norm the layers of a network really are, for instance ``GroupNorm, 4 groups``."""
    from torch import nn

    words = []
    for layer in model.modules():
        if isinstance(layer, nn.GroupNorm):
            many = f"GroupNorm, {layer.num_groups} groups"
            words.append("LayerNorm (one group)" if layer.num_groups == 1 else many)
        elif isinstance(layer, nn.LayerNorm):
            words.append("LayerNorm [C, H, W]")
        elif isinstance(layer, nn.BatchNorm2d):
            words.append("BatchNorm")
    return _each(words)


# How the network was chosen, and how fast it is ---------------------------------------------------


def search_section(results: Results, most: int = 12) -> str:
    """Every configuration tried, best first among those of equal length; the tail is folded."""
    if not results.search:
        return NOTHING_YET
    from common.search import LOGGED_DATASET

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
        f"{len(rows)} configurations, one run each, trained on a part of the training images and "
        "judged on 5,000 others; the test images played no part. Data set, where the notes name "
        f"no other: {LOGGED_DATASET}. The longest runs first, then the best. Train %: running "
        "average of the last epoch. CPU s: of one thread, beside other runs."
    )
    return f"{text}\n\n{note}"


def learning_rate_grid(rows: Sequence[dict[str, str]]) -> str:
    """A table norm × learning rate of the course's network, where the log has all of a grid."""
    same = ("epochs", "parameters", "optimiser", "train_images")
    found: dict[tuple[str, ...], dict[tuple[str, float], list[float]]] = {}
    for row in rows:
        finished = row.get("epochs_done", row["epochs"]) == row["epochs"]
        if row["name"] == "course" and finished and row.get("validation_accuracy"):
            at = row["norm"], float(row["learning_rate"])
            grid = found.setdefault(tuple(row.get(name, "") for name in same), {})
            grid.setdefault(at, []).append(float(row["validation_accuracy"]))
    text = ""
    for (epochs, *_), runs in found.items():
        rates = sorted({rate for _, rate in runs})
        if len(rates) < 2 or set(runs) != set(itertools.product(LESSONS, rates)):
            continue
        grid = {at: fmean(mine) for at, mine in runs.items()}
        most = max(map(len, runs.values()))
        made = "one run each" if most == 1 else f"means of up to {most} runs"
        table = []
        for norm in LESSONS:
            best = max(rates, key=lambda rate: grid[norm, rate])
            cells = [f"{grid[norm, rate]:.2f}" for rate in rates]
            cells[rates.index(best)] = f"**{cells[rates.index(best)]}**"
            table.append([LABELS[norm], *cells])
        header = ["Validation %, by learning rate", *(f"{rate:g}" for rate in rates)]
        text += f"{markdown(header, table, 'l' + 'r' * len(rates))}\n\n"
        text += f"The course's network, {epochs} epochs, {made}.\n\n"
    return text


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


def benchmark_section(results: Results) -> str:
    """The benchmark's own report, word for word, and what became of its goals."""
    if results.benchmark is None:
        return NOTHING_YET
    from common.benchmark import goals, report

    text = f"```text\n{report(results.benchmark).rstrip()}\n```"
    if lines := goals(results.benchmark):
        text += "\n\nThe goals, set for four CPU cores, a figure a norm:\n\n" + "\n".join(
            f"- {line}" for line in lines
        )
    return text


# A lesson's README --------------------------------------------------------------------------------


def lesson_networks(lesson: str) -> dict[str, str]:
    """The networks of a lesson and the norm each is built with there, from its ``model.py``."""
    path = ROOT / lesson / "model.py"
    spec = importlib.util.spec_from_file_location(f"model of {lesson}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


def summary_section(lesson: str) -> str:
    """A lesson's networks: parameters, where they sit, and torchsummary's tables, folded."""
    from common.models import NETWORKS

    rows, folds = [], []
    for network, norm in lesson_networks(lesson).items():
        model = _model(network, norm)
        inside = sum(_parameters(layer) for layer in model.modules() if _is_norm(layer))
        source = NETWORKS[network].source
        if source.startswith("github.com/"):
            repository, _, rest = source.removeprefix("github.com/").partition(",")
            source = f"[{repository}](https://github.com/{repository})" + (rest and f",{rest}")
        row = (f"`{network}`", norm_words(model), f"{_parameters(model):,}", f"{inside:,}", source)
        rows.append(row)
        folds.append(_fold(network, model))
    header = ("Network", "Norm", "Parameters", "of these in norms", "Source")
    return "\n\n".join([markdown(header, rows, "llrr"), *folds])


def _is_norm(layer: nn.Module) -> bool:
    from torch import nn

    return isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)


@cache
def _fold(network: str, model: nn.Module) -> str:
    from common.summary import parameters_missed, skips_missed, summary

    missed = []
    if skips := len(skips_missed(model)):
        missed.append(f"the {skips} skip connection{'s' if skips > 1 else ''}, sums without a row")
    if others := sum(parameters_missed(model).values()):
        missed.append(f"{others:,} parameters under other names than weight and bias")
    note = f"\n\nNot in the table: {'; '.join(missed)}." if missed else ""
    title = f"<code>{network}</code>, layer by layer"
    return (
        f"<details><summary>{title}</summary>\n\n```text\n{summary(model)}\n```{note}\n\n</details>"
    )


def _place_of_the_median(runs: int) -> str:
    """What the run shown is among so many."""
    if runs == 1:
        return "the only run"
    return "the median" if runs % 2 else "the lower of the middle two"


def lesson_section(results: Results, norm: str) -> str:
    """A lesson's results: its course runs, figures, and the field's networks that belong to it."""
    lesson = LESSONS[norm]
    runs = [run for run in results.course.get("", []) if run.norm == norm]
    parts = [course_table(runs)]
    if done := _finished(runs):
        each = ", ".join(f"{run.test_accuracy:.2f} ({run.seed})" for run in done)
        shown = median_run(done).seed
        parts.append(f"Each run's test accuracy in %, with its seed: {each}. The lesson shows ")
        parts[-1] += f"seed {shown}, {_place_of_the_median(len(done))}."
    parts += [
        f"![{alt}](results/{name})"
        for name, alt in LESSON_FIGURES.items()
        if results.counts(results.root / lesson / "results" / name)
    ]
    entries = [entry for entry in FIELD if lesson_networks(lesson).get(entry.network) == entry.norm]
    parts += ["**The networks of the field**", field_table(results, entries)]
    parts += [field_findings(results, entries), field_notes(results, entries)]
    parts += [
        f"![{path.stem.removesuffix('-misclassified')}: misclassified images](results/{path.name})"
        for path in sorted((results.root / lesson / "results").glob("*-misclassified.png"))
        if results.counts(path)
    ]
    parts.append(
        "How the sources train, and what was repaired: [all networks](../README.md#results)."
    )
    return "\n\n".join(part for part in parts if part)


# Drawn by common.figures into a lesson's results, with what a screen reader says of them.
LESSON_FIGURES = {
    "curves.png": "Accuracy and loss of each epoch, all seeds",
    "misclassified.png": "Test images that the lesson's network got wrong",
    "confusion.png": "Confusion matrix of the lesson's network",
    "field.png": "Test accuracy of each epoch, networks of the field",
}
TOP_FIGURES = {
    "comparison.png": "Test accuracy of the course's network with each norm, a point a seed",
    "field.png": "Test accuracy of the networks of the field, a point a seed",
    "recipes.png": "Test accuracy of networks with each norm, trained with two recipes",
}


# READMEs ------------------------------------------------------------------------------------------


def sections(results: Results) -> dict[str, dict[str, str]]:
    """What belongs between the marks: README → name → Markdown."""
    figures = {
        name: f"![{alt}](common/results/{name})"
        for name, alt in TOP_FIGURES.items()
        if results.counts(results.root / "common" / "results" / name)
    }
    top = {
        "results": [course_section(results), figures.get("comparison.png", "")],
        "field": [field_section(results), *map(figures.get, ("recipes.png", "field.png"))],
        "search": [search_section(results)],
        "benchmark": [benchmark_section(results)],
    }
    pages = {"README.md": {name: "\n\n".join(filter(None, p)) for name, p in top.items()}}
    for norm, lesson in LESSONS.items():
        pages[f"{lesson}/README.md"] = {
            "summary": summary_section(lesson),
            "results": lesson_section(results, norm),
        }
    return pages


def fill(page: str, contents: dict[str, str], name: str = "the page") -> str:
    """``page`` with each marked section replaced by its content.

    Raises ``ValueError`` for a mark without its partner, or a section that nobody can fill.
    """
    marks = re.findall(r"<!-- ([\w-]+):(start|end) -->", page)
    starts = [section for section, kind in marks if kind == "start"]
    expected = [pair for section in starts for pair in ((section, "start"), (section, "end"))]
    if marks != expected or len(set(starts)) != len(starts):
        raise ValueError(
            f"The marks in {name} do not pair up. Each section stands once between "
            "<!-- NAME:start --> and <!-- NAME:end -->, and sections do not overlap."
        )
    if unknown := [section for section in starts if section not in contents]:
        raise ValueError(
            f"{name} has a section {unknown[0]!r} that no table belongs to; there are "
            f"{', '.join(contents)}."
        )
    for section in starts:
        start, end = f"<!-- {section}:start -->", f"<!-- {section}:end -->"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}\n{contents[section].strip()}\n{end}{after}"
    return page


def update(results: Results, *, check: bool = False) -> list[str]:
    """Bring every README of these results up to date; the names of those that were not.

    With ``check`` nothing is written. Raises ``ValueError`` as ``fill`` does.
    """
    stale = []
    for name, contents in sections(results).items():
        path = results.root / name
        old = path.read_text(encoding="utf-8")
        new = fill(old, contents, name)
        if new != old:
            stale.append(name)
            if not check:
                write_atomically(path, new)
    return stale


def field_report(runs: Sequence[Run], histories: Sequence[History]) -> str:
    """What the command line says after a study of the field: the networks that were trained."""
    results = Results(ROOT)
    for run, history in zip(runs, histories, strict=True):
        which, _, jpeg = run.label.partition("-")
        table = results.compressed if jpeg else results.field_runs
        table.setdefault((run.network, run.norm, which), []).append(history)
    if results.compressed:
        # On their own these runs say little: those on the images as they are belong beside them.
        kept = load_results(ROOT).field_runs
        results.field_runs |= {key: kept[key] for key in results.compressed if key in kept}
    done = {key[:2] for key in results.field_runs}
    entries = [entry for entry in FIELD if (entry.network, entry.norm) in done]
    parts = [field_table(results, entries), field_findings(results, entries)]
    parts.append(compression_table(results))
    return "\n\n".join(part for part in parts if part)
