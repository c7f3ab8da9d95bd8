"""Results as plain text, for a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from common.data import CIFAR10_NAMES
from common.experiments import compare_means, summarise
from common.reports.cells import signed
from common.training import TARGET, History
from common.visualisation import LABELS


def comparison_table(histories: Sequence[History]) -> str:
    """A plain table, a row a norm: parameters, test %, its spread, time; train % if measured."""
    first = histories[0]
    done = [history for history in histories if not history.failure]
    measured = all(history.train_accuracy is not None for history in done)
    train_title = f"{'train %':>20}  " if measured else ""
    lines = [
        f"{first.network} network on {first.dataset}, {first.recipe.epochs} epochs, {first.device}",
        "",
        f"{'norm':<10}  {'parameters':>10}  {train_title}{'test %':>20}  {'minutes a run':>13}",
    ]
    for norm in dict.fromkeys(history.norm for history in histories):
        mine = [history for history in histories if history.norm == norm]
        failed = [history for history in mine if history.failure]
        mine = [history for history in mine if not history.failure]
        if mine:
            train = ""
            if measured:
                train = f"{summarise([history.train_accuracy for history in mine])!s:>20}  "
            test = summarise([history.test_accuracy for history in mine])
            minutes = sum(history.seconds for history in mine) / len(mine) / 60
            lines.append(
                f"{LABELS.get(norm, norm):<10}  {mine[0].parameters:>10,}  {train}"
                f"{test!s:>20}  {minutes:>13.1f}"
            )
        lines += [f"{LABELS.get(norm, norm):<10}  seed {h.seed}: {h.failure}" for h in failed]
    lines += [
        "",
        "Test accuracy after the last epoch"
        + (", train accuracy in evaluation mode;" if measured else ";"),
        "mean ± standard deviation over n seeds.",
    ]
    return "\n".join(lines)


def conclusion(histories: Sequence[History]) -> str:
    """What the runs can tell, in words: who reached the target, and which norms they tell apart."""
    done = [history for history in histories if not history.failure]
    accuracies: dict[str, list[float]] = {}
    for history in done:
        accuracies.setdefault(LABELS.get(history.norm, history.norm), []).append(
            history.test_accuracy
        )
    lines = [_target(histories)] if histories[0].dataset in CIFAR10_NAMES else []
    if len(accuracies) > 1 and min(map(len, accuracies.values())) == 1:
        lines.append(
            "One run says nothing about a difference between norms: a run of another seed differs\n"
            "by chance. To tell norms apart, train several seeds: --seeds 1 2 3 4 5"
        )
    elif len(accuracies) > 1:
        lines.append("Differences in points, with their 95 % intervals (Welch), each by itself:")
        for one, other in itertools.combinations(accuracies, 2):
            found = compare_means(accuracies[one], accuracies[other])
            apart = found.low > 0 or found.high < 0
            lines.append(
                f"  {one} − {other}: {signed(found.mean)}, {signed(found.low)} to "
                f"{signed(found.high)}: {'told apart' if apart else 'not told apart'}"
            )
    return "\n".join(lines)


def _target(histories: Sequence[History]) -> str:
    past = [h for h in histories if not h.failure and h.test_accuracy > TARGET]
    return f"{len(past)} of {len(histories)} runs are past {TARGET:.0f} % of the test images."
