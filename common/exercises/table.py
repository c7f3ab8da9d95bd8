"""The table of wrong answers: which hint each one gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def mutant_table(mutants: Iterable[Any]) -> str:
    """Wrong answer × check → hint, a text table.

    mutants: wrong answers, each with a `name`, the `check` that must reject it and the `answer`.
    """
    rows = []
    for mutant in mutants:
        verdict = mutant.check(mutant.answer)
        rows.append((mutant.name, mutant.check.__name__, verdict.hint or verdict.state))
    widths = [max(len(row[k]) for row in rows) for k in (0, 1)]
    lines = [
        f"{name:<{widths[0]}}  {check:<{widths[1]}}  {hint}"
        for name, check, hint in [("wrong answer", "check", "hint"), *rows]
    ]
    lines.insert(1, f"{'-' * widths[0]}  {'-' * widths[1]}  {'-' * 40}")
    return "\n".join(lines)
