"""Results as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from common.experiments import summarise
from common.training import History
from common.visualisation import LABELS


def comparison_table(histories: Sequence[History]) -> str:
    """A plain table, a row a norm: parameters, train %, test %, their spread, time."""
    first = histories[0]
    lines = [
        f"{first.network} network on {first.dataset}, {first.recipe.epochs} epochs, {first.device}",
        "",
        f"{'norm':<10}  {'parameters':>10}  {'train %':>20}  {'test %':>20}  {'minutes a run':>13}",
    ]
    for norm in dict.fromkeys(history.norm for history in histories):
        mine = [history for history in histories if history.norm == norm]
        failed = [history for history in mine if history.failure]
        mine = [history for history in mine if not history.failure]
        if mine:
            train = summarise([history.train_accuracy for history in mine])
            test = summarise([history.test_accuracy for history in mine])
            minutes = sum(history.seconds for history in mine) / len(mine) / 60
            lines.append(
                f"{LABELS.get(norm, norm):<10}  {mine[0].parameters:>10,}  {train!s:>20}  "
                f"{test!s:>20}  {minutes:>13.1f}"
            )
        lines += [f"{LABELS.get(norm, norm):<10}  seed {h.seed}: {h.failure}" for h in failed]
    lines += [
        "",
        "Test accuracy after the last epoch, train accuracy in evaluation mode;",
        "mean ± standard deviation over n seeds.",
    ]
    return "\n".join(lines)
