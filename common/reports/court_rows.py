"""The court's rows on single claims, as a notebook shows them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.experiments import laboratory
from common.reports.cells import DASH

HEADER = ("What is said", "What was measured", "Effect, 95 % interval", "Verdict")


class Row(NamedTuple):
    """What speaks to a claim: a comparison of a study, or words.

    ``effect`` (with its interval) and ``seeds`` are empty where nothing was measured in numbers,
    ``study`` where none is needed.
    """

    measured: str
    verdict: str
    study: str = ""
    effect: str = ""
    seeds: str = ""


def rows_of(
    claim: laboratory.Claim, verdicts: Mapping[str, Sequence[laboratory.Verdict]]
) -> list[Row]:
    """One row for a proof, or for what cannot be tested; else one a comparison, run or not.

    ``verdicts`` has those of the studies that have been run, by the study's name.
    """
    if claim.proof:
        return [Row(claim.proof, f"proven: {claim.proven}")]
    if claim.untestable:
        return [Row(DASH, f"not testable as put: {claim.untestable}")]
    rows = []
    for study in laboratory.STUDIES.values():
        for contrast in study.contrasts:
            if contrast.claim != claim.key:
                continue
            mine = [v for v in verdicts.get(study.name, ()) if v.contrast == contrast]
            if mine and mine[0].seeds:
                seeds = " and ".join(dict.fromkeys(map(str, mine[0].seeds)))
                if study.repeats != "seeds":
                    seeds += f" {study.repeats}"
                found = mine[0].sentence, study.name, mine[0].interval, seeds
                rows.append(Row(contrast.words, *found))
            else:
                rows.append(Row(contrast.words, laboratory.NOT_RUN, study.name))
    return rows


class CourtRows:
    """Some claims before the court: a table in a notebook, lines of text elsewhere.

    What no run speaks to yet is named in one sentence at the end.
    """

    def __init__(
        self,
        claims: Sequence[laboratory.Claim],
        verdicts: Mapping[str, Sequence[laboratory.Verdict]],
    ) -> None:
        found = {claim.said: rows_of(claim, verdicts) for claim in claims}
        self.decided = {
            said: [row for row in rows if row.verdict != laboratory.NOT_RUN]
            for said, rows in found.items()
        }
        waiting = [said for said, rows in self.decided.items() if not rows]
        studies = {row.study for said in waiting for row in found[said]}
        self.waiting = ""
        if waiting:
            self.waiting = (
                f"Not run yet: {' '.join(waiting)} (python -m common study "
                f"{' '.join(sorted(studies))})"
            )

    def __repr__(self) -> str:
        lines = []
        for said, rows in self.decided.items():
            lines += [said] * bool(rows)
            for row in rows:
                measured = f"{row.measured}: {effect_words(row)}" if row.effect else row.measured
                lines.append(f"    {measured} → {row.verdict}")
        return "\n".join([*lines, *filter(None, [self.waiting])])

    def _repr_html_(self) -> str:
        body = []
        for said, rows in self.decided.items():
            first = table_cells([said], rows=len(rows))
            for row in rows:
                cells = table_cells([row.measured, effect_words(row), row.verdict])
                body.append(f"<tr>{first}{cells}</tr>")
                first = ""
        head = f"<thead><tr>{table_cells(HEADER, 'th')}</tr></thead>"
        words = f"<p>{html.escape(self.waiting)}</p>" if self.waiting else ""
        return f"<table>{head}<tbody>{''.join(body)}</tbody></table>{words}" if body else words


def table_cells(texts: Sequence[str], tag: str = "td", rows: int = 1) -> str:
    """Cells of a table to read, each over ``rows`` rows, left where a notebook has numbers right.

    The style is each cell's own: of a notebook that was not run here front ends drop style sheets.
    """
    span = f' rowspan="{rows}"' if rows > 1 else ""
    start = f'<{tag}{span} style="text-align:left;vertical-align:top">'
    return "".join(f"{start}{html.escape(text)}</{tag}>" for text in texts)


def effect_words(row: Row) -> str:
    """The effect with its interval and the number of seeds, or a dash."""
    return f"{row.effect} (n = {row.seeds})" if row.effect else DASH


def command_of(claim: laboratory.Claim, row: Row) -> str:
    """What to type to have it measured or proven again; "" where there is nothing to run."""
    if claim.test:
        file, _, name = claim.test.partition("::")
        return f"pytest {file} -k {name}"
    return f"python -m common study {row.study}" if row.study else ""


def court_rows(*claims: str, folder: Path = laboratory.RESULTS) -> CourtRows:
    """What the court says of these claims, named by the keys of ``laboratory.CLAIMS``.

    In the order given, from the studies' files in ``folder``; so nothing is typed by hand.
    Raises ``ValueError`` for a claim that is not on the court's list.
    """
    return CourtRows(claims_of(*claims), verdicts_in(folder))


def claims_of(*keys: str) -> list[laboratory.Claim]:
    """The claims of these keys, in this order. Raises ``ValueError`` for one that is not listed."""
    known = {claim.key: claim for claim in laboratory.CLAIMS}
    if strange := [key for key in keys if key not in known]:
        raise ValueError(f"no claim {', '.join(strange)}: there are {', '.join(known)}")
    return [known[key] for key in keys]


def verdicts_in(folder: Path) -> dict[str, list[laboratory.Verdict]]:
    """The verdicts of every study, by its name, as far as its file in ``folder`` goes."""
    return {
        name: laboratory.judge(laboratory.load(study, folder / f"{name}.jsonl"))
        for name, study in laboratory.STUDIES.items()
    }
