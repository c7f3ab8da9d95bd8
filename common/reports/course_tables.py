"""Tables of the course's own network: each norm's accuracy, and what parts them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.experiments import Difference, compare_means, summarise
from common.reports.cells import (
    DASH,
    NOTHING_YET,
    accuracy_cell,
    device_words,
    each,
    markdown,
    number_words,
    seed_words,
    signed,
)
from common.reports.kept import COURSE_LABELS, Results, finished, grouped
from common.reports.search_tables import edge_words
from common.training import OWN_RATES, SHARED, History
from common.visualisation import LABELS


def course_table(runs: Sequence[History]) -> str:
    """The course's network, a row a norm (and data set), and what its figures are."""
    if not runs:
        return NOTHING_YET
    rows = []
    for (norm, dataset), mine in grouped(runs):
        done = finished(mine)
        if not done:
            rows.append([LABELS[norm], DASH, DASH, accuracy_cell(mine), DASH, DASH, dataset])
            continue
        test = summarise([run.test_accuracy for run in done])
        interval = f"{test.low:.2f} to {test.high:.2f}" if test.runs > 1 else DASH
        rows.append(
            [
                LABELS[norm],
                f"{done[0].parameters:,}",
                accuracy_cell(done, "train_accuracy"),
                f"**{test.mean:.2f}**" + accuracy_cell(mine).removeprefix(f"{test.mean:.2f}"),
                interval,
                number_words({run.recipe.epochs for run in done}),
                dataset,
            ]
        )
    header = ("Norm", "Parameters", "Train %", "Test %", "95 % interval", "Epochs", "Data set")
    note = (
        f"{_seeds(runs)}; {each(map(device_words, runs))}. Test accuracy after the last epoch; "
        "train accuracy of the whole training set after the last epoch, in evaluation mode; mean ± "
        "standard deviation over n seeds; Student's interval of the mean."
    )
    return markdown(header, rows, "lrrrrr") + f"\n\n{note}"


def _seeds(runs: Sequence[History]) -> str:
    """The seeds of a table's runs; norm by norm where they differ."""
    norms = {LABELS[norm]: [] for (norm, _), _ in grouped(runs)}
    for run in runs:
        norms[LABELS[run.norm]].append(run)
    words = {name: seed_words(mine) for name, mine in norms.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return ", ".join(f"{name} {text.lower()}" for name, text in words.items())


class _Pair(NamedTuple):
    """Two norms on the same images: what they are called, their test, and how many runs."""

    names: str
    found: Difference
    runs: str
    dataset: str

    @property
    def points(self) -> str:
        return signed(self.found.mean)

    @property
    def interval(self) -> str:
        return f"{signed(self.found.low)} to {signed(self.found.high)}"


def _pairs(runs: Sequence[History]) -> Iterator[_Pair]:
    """Each pair of norms with two finished runs or more of each on the same images."""
    groups = [(key, finished(mine)) for key, mine in grouped(runs)]
    groups = [(key, mine) for key, mine in groups if len(mine) > 1]
    for ((one, dataset), first), ((other, same), second) in itertools.combinations(groups, 2):
        if dataset == same:
            accuracies = ([run.test_accuracy for run in mine] for mine in (first, second))
            names, counts = f"{LABELS[one]} − {LABELS[other]}", f"{len(first)} and {len(second)}"
            yield _Pair(names, compare_means(*accuracies), counts, dataset)


def differences_table(runs: Sequence[History]) -> str:
    """Welch's test for each pair of norms on the same images; empty where no pair has two runs."""
    rows = []
    for pair in _pairs(runs):
        p = "< 0.001" if pair.found.p_value < 0.001 else f"{pair.found.p_value:.3f}"
        rows.append([pair.names, pair.points, pair.interval, p, pair.runs, pair.dataset])
    if not rows:
        return ""
    header = ("Test accuracy", "Points", "95 % interval", "Welch's p", "Runs", "Data set")
    return markdown(header, rows, "lrrrr")


def differences_words(runs: Sequence[History]) -> str:
    """The same in a sentence, without the tests; empty where no pair has two runs."""
    texts = [f"{pair.names} {pair.points} ({pair.interval})" for pair in _pairs(runs)]
    if not texts:
        return ""
    return f"Differences in points, with their 95 % intervals: {'; '.join(texts)}."


def course_section(results: Results) -> str:
    """The course's network: a table and the differences for each way it was trained."""
    parts = []
    for label, runs in results.course.items():
        if label == "tuned" and runs:
            runs = runs + _at_home_with_the_shared_rate(results)
        if runs:
            parts += [f"**{COURSE_LABELS[label]}** ({_rates(runs)})", course_table(runs)]
            parts.append(differences_table(runs))
            parts.append(edge_words(results.search) if label == "tuned" else "")
    return "\n\n".join(part for part in parts if part) or NOTHING_YET


def _at_home_with_the_shared_rate(results: Results) -> list[History]:
    """The shared recipe's runs of norms whose own best learning rate is the shared one."""
    same = [norm for norm, rate in OWN_RATES.items() if rate == SHARED.learning_rate]
    return [run for run in results.course[""] if run.norm in same]


def _rates(runs: Sequence[History]) -> str:
    """What the learning rates were: one, or one a norm."""
    rates = {LABELS[norm]: f"{mine[0].recipe.learning_rate:g}" for (norm, _), mine in grouped(runs)}
    if len(set(rates.values())) == 1:
        return f"{runs[0].recipe.optimiser}, learning rate {next(iter(rates.values()))}"
    each = ", ".join(f"{name} {rate}" for name, rate in rates.items())
    return f"{runs[0].recipe.optimiser}, learning rates {each}"
