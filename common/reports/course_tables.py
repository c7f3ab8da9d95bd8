"""Tables of the course's own network: each norm's accuracy, and what parts them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import fmean

from common.experiments import compare_means, summarise
from common.reports.kept import COURSE_LABELS, Results, finished, grouped
from common.reports.markdown import (
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
            rows.append([LABELS[norm], DASH, DASH, accuracy_cell(mine), *[DASH] * 4, dataset])
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
                f"{fmean(run.seconds for run in done) / 60:.1f}",
                each(map(device_words, done)),
                dataset,
            ]
        )
    header = (
        *("Norm", "Parameters", "Train %", "Test %", "95 % interval", "Epochs"),
        *("Minutes a run", "Device", "Data set"),
    )
    note = (
        f"{seed_words(runs)}. Test accuracy after the last epoch; train accuracy of the whole "
        "training set after the last epoch, in evaluation mode; mean ± standard deviation over n "
        "seeds; Student's interval of the mean. Minutes: on a machine shared with other runs."
    )
    return markdown(header, rows, "lrrrrrr") + f"\n\n{note}"


def differences_table(runs: Sequence[History]) -> str:
    """Welch's test for each pair of norms on the same images; empty where no pair has two runs."""
    rows = []
    groups = [(key, finished(mine)) for key, mine in grouped(runs)]
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
                    signed(found.mean),
                    f"{signed(found.low)} to {signed(found.high)}",
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
    rates = {LABELS[norm]: f"{mine[0].recipe.learning_rate:g}" for (norm, _), mine in grouped(runs)}
    if len(set(rates.values())) == 1:
        return f"{runs[0].recipe.optimiser}, learning rate {next(iter(rates.values()))}"
    each = ", ".join(f"{name} {rate}" for name, rate in rates.items())
    return f"{runs[0].recipe.optimiser}, learning rates {each}"
