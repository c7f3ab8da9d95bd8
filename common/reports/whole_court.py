"""The court of claims in a notebook: a quiz on some of its verdicts, and then all of it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.experiments import laboratory
from common.frontends import SUMMARY
from common.reports.court_rows import (
    HEADER,
    Row,
    claims_of,
    command_of,
    effect_words,
    rows_of,
    table_cells,
    verdicts_in,
)
from common.visualisation import Quiz

HOLDS, NOT, MIXED = "holds", "does not hold", "mixed or not decided"
CHOICES = (HOLDS, NOT, MIXED)
PROVEN, UNTESTABLE = "proven, right or wrong", "not testable as put"
ORDER = (HOLDS, NOT, MIXED, PROVEN, UNTESTABLE, laboratory.NOT_RUN)


def verdict_on(rows: Sequence[Row]) -> str:
    """One word for all comparisons of a claim: one of ``CHOICES``, or why there is none.

    *Mixed or not decided* where the comparisons that were run do not all come to the same verdict,
    or come to none.
    """
    if rows[0].verdict.startswith(("proven", "not testable")):
        return PROVEN if rows[0].verdict.startswith("proven") else UNTESTABLE
    words = {row.verdict for row in rows} - {laboratory.NOT_RUN}
    if not words:
        return laboratory.NOT_RUN
    return words.pop() if words in ({HOLDS}, {NOT}) else MIXED


def court_quiz(
    *claims: str, answers: Sequence[str] = (), folder: Path = laboratory.RESULTS
) -> Quiz:
    """A quiz on the verdicts about these claims, named by the keys of ``laboratory.CLAIMS``.

    ``answers`` as ``Quiz`` takes them. Raises ``ValueError`` for a claim that is not on the list.
    """
    verdicts = verdicts_in(folder)
    words = {c.said: verdict_on(rows_of(c, verdicts)) for c in claims_of(*claims)}
    questions = {said: word if word in CHOICES else None for said, word in words.items()}
    return Quiz(questions, CHOICES, answers=answers)


class WholeCourt:
    """Every claim with its verdict, and folded behind each what was measured; text elsewhere."""

    def __init__(self, found: Mapping[laboratory.Claim, Sequence[Row]]) -> None:
        self.groups: dict[str, list[tuple[laboratory.Claim, Sequence[Row]]]] = {}
        for claim, rows in found.items():
            self.groups.setdefault(verdict_on(rows), []).append((claim, rows))

    def __repr__(self) -> str:
        lines = []
        for word in filter(self.groups.get, ORDER):
            lines.append(f"{word.upper()} ({len(self.groups[word])})")
            for claim, rows in self.groups[word]:
                lines.append(f"  {claim.said} [{claim.heard}]")
                lines += [f"    {line}" for row in rows if (line := _line(row))]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = []
        for word in filter(self.groups.get, ORDER):
            claims = "".join(_folded(claim, rows) for claim, rows in self.groups[word])
            head = f"<b>{word}</b> ({len(self.groups[word])})"
            if word == laboratory.NOT_RUN:  # long, and nothing to see yet
                parts.append(f"<details>{SUMMARY}{head}</summary>{claims}</details>")
            else:
                parts.append(f"<p>{head}</p>{claims}<br>")
        return f"<div>{''.join(parts)}</div>"


def whole_court(folder: Path = laboratory.RESULTS) -> WholeCourt:
    """The court of claims, from the studies' files in ``folder``: nothing is typed by hand."""
    verdicts = verdicts_in(folder)
    return WholeCourt({claim: rows_of(claim, verdicts) for claim in laboratory.CLAIMS})


def _line(row: Row) -> str:
    if row.verdict == laboratory.NOT_RUN:
        return ""
    return f"{row.measured}: {effect_words(row)} → {row.verdict}"


def _folded(claim: laboratory.Claim, rows: Sequence[Row]) -> str:
    lines = ((row.measured, effect_words(row), row.verdict, command_of(claim, row)) for row in rows)
    body = "".join(f"<tr>{table_cells(line)}</tr>" for line in lines)
    head = table_cells([*HEADER[1:], "Do it again"], "th")
    heard = f"heard from: {claim.heard}" + (f"; see {claim.lesson}" if claim.lesson else "")
    return (
        f"<details>{SUMMARY}{html.escape(claim.said)}</summary>"
        f"<p>{html.escape(heard)}</p><table><tr>{head}</tr>{body}</table></details>"
    )
