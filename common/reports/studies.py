"""What the laboratory's studies found: a table a study, its figures, and the list of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from common import visualisation
from common.experiments import laboratory
from common.reports.cells import DASH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def study_list(studies: Sequence[laboratory.Study]) -> str:
    """Name, question, runs and rough cost of each study, as plain text."""
    lines = [f"{'study':<12}  {'runs':>5}  {'about':>8}  question"]
    for study in studies:
        seconds = len(study.seeds) * sum(map(study.seconds, study.conditions))
        cost = f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
        runs = len(study.seeds) * len(study.conditions)
        lines.append(f"{study.name:<12}  {runs:>5}  {cost:>8}  {study.question}")
    return "\n".join([*lines, "", "Costs are of one thread; runs share the cores."])


def study_report(kept: laboratory.Kept) -> str:
    """A study as plain text: setting, what each condition came to, and the verdicts by rule."""
    study, done = kept.study, kept.complete_seeds()
    lines = [f"{study.name}: {study.question}", ""]
    lines += [f"{name:<8}  {words}" for name, words in study.setting.items()]
    lines += [
        f"made on   {kept.study.dataset or kept.images.words or DASH}",
        f"with      {'; '.join(kept.versions) or DASH}",
    ]
    seeds = ", ".join(map(str, done)) or "none"
    wanted = len(study.conditions) * len(study.seeds)
    made = f"{len(kept.lines)} of {wanted} runs; {study.repeats} with every condition: {seeds}"
    lines += ["", made, ""]
    lines += _table(kept)
    if study.contrasts:
        lines += [
            "",
            "The rule, stated before the runs, and what came of it (95 % interval, Welch;",
        ]
        lines += ["several comparisons: each must also pass by Holm's correction):", ""]
        for verdict in laboratory.judge(kept):
            smallest = f"{verdict.contrast.smallest:g} {verdict.contrast.unit}".strip()
            lines += [
                f"{verdict.contrast.claim}: {verdict.contrast.words}",
                f"    holds if above {smallest}: {verdict.interval} → {verdict.sentence}",
            ]
    return "\n".join(lines)


def _table(kept: laboratory.Kept) -> list[str]:
    """A line a condition: the mean of every number measured, over the seeds there are."""
    by_condition: dict[str, list[laboratory.Line]] = {}
    for line in kept.lines:
        by_condition.setdefault(line.condition, []).append(line)
    if not by_condition:
        return []
    first = kept.lines[0].values
    names = [name for name, value in first.items() if not isinstance(value, list | str)]
    wide = max(map(len, by_condition))
    rows = [f"{'condition':<{wide}}  n  " + "  ".join(f"{name:>10}" for name in names)]
    for condition in map(laboratory.label, kept.study.conditions):
        lines = by_condition.get(condition, [])
        cells = []
        for name in names:
            values = [line.values[name] for line in lines if name in line.values]
            cells.append(f"{fmean(values):>10.4g}" if values else f"{DASH:>10}")
        rows.append(f"{condition:<{wide}}  {len(lines)}  " + "  ".join(cells))
    return rows


def study_figures(
    kept: laboratory.Kept, *, marks: Mapping[str, float] | None = None
) -> Iterator[tuple[str, Figure]]:
    """The figures that a study declares, by file name, of the runs there are, with ``marks``."""
    for number, plot in enumerate(kept.study.plots, start=1):
        if panels := _panels(kept, plot):
            name = kept.study.name + (f"-{number}" if len(kept.study.plots) > 1 else "")
            yield (
                f"{name}.png",
                visualisation.panel_figure(
                    panels,
                    xlabel=plot.xlabel,
                    ylabel=plot.ylabel,
                    title=plot.title,
                    dataset=kept.study.dataset or kept.images.words.partition(",")[0],
                    scales=plot.scales,
                    rows=kept.study.repeats,
                    marks=marks,
                ),
            )


class ShippedStudy:
    """A study's results as a notebook shows them: those that come with the course.

    Raises ``ValueError`` for a name that no study has.
    """

    def __init__(self, name: str, folder: Path = laboratory.RESULTS) -> None:
        (study,) = laboratory.find_studies([name])
        # Not what quick mode would leave of it: nothing is run here.
        self.kept = laboratory.load(study, folder / f"{name}.jsonl")

    @property
    def missing(self) -> str:
        """Empty if all runs are there, else a sentence with the command that makes them."""
        study, wanted = self.kept.study, self.kept.study.runs()
        there = self.kept.done()
        left = [c for c, seed in wanted if (laboratory.label(c), seed) not in there]
        if not left:
            return ""
        hours = sum(map(study.seconds, left)) / 3600
        cost = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
        return (
            f"{len(wanted) - len(left)} of the {len(wanted)} runs of this study are here; "
            f"python -m common study {study.name} makes the others, in about {cost} of one thread, "
            "and then this cell shows its figure."
        )

    def figure(
        self, number: int = 1, *, marks: Mapping[str, float] | None = None
    ) -> Figure | visualisation.Note:
        """The study's figure of this number, or the sentence on what is missing."""
        if self.missing:
            return visualisation.Note(self.missing)
        return [figure for _, figure in study_figures(self.kept, marks=marks)][number - 1]

    def mean(self, value: str, **where: Any) -> float | None:
        """The mean over the seeds of a measured value under these conditions; None without runs.

        Of a tuned quantity that is not given, such as the learning rate, the best value counts.
        """
        found = laboratory.per_seed(self.kept, laboratory.Cell(where, value))
        return fmean(found.values()) if found and not self.missing else None


def draw_study(kept: laboratory.Kept, folder: Path) -> list[Path]:
    """Write a study's figures beside its results."""
    return [visualisation.save(figure, folder / name) for name, figure in study_figures(kept)]


def _panels(
    kept: laboratory.Kept, plot: laboratory.Plot
) -> dict[str, tuple[list[Any], dict[str, list[list[float]]]]]:
    """What ``panel_figure`` takes: panel → (x, line → a row a seed)."""
    table = {(line.condition, line.seed): line.values for line in kept.lines}
    seeds = sorted({line.seed for line in kept.lines})
    where = plot.where
    if plot.x == kept.study.tuned:  # all of its values are shown, not the best one
        where = {**where, plot.x: tuple({c[plot.x] for c in kept.study.conditions})}
    # In quick mode a quantity may have lost the values that the figure is about.
    conditions = [
        c
        for c in laboratory.chosen(kept, where)
        if any((laboratory.label(c), s) in table for s in seeds)
    ]
    panels: dict[str, tuple[list[Any], dict[str, list[list[float]]]]] = {}
    values = list(dict.fromkeys(c.get(plot.panels) for c in conditions))
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    for value in values:
        mine = [c for c in conditions if c.get(plot.panels) == value]
        name = (
            f"{plot.panels}: {value:g}" if isinstance(value, float) else f"{plot.panels}: {value}"
        )
        panels[name if plot.panels else ""] = _lines(plot, mine, table, seeds)
    return panels


def _lines(
    plot: laboratory.Plot,
    conditions: Sequence[Any],
    table: dict[tuple[str, int], dict[str, Any]],
    seeds: Sequence[int],
) -> tuple[list[Any], dict[str, list[list[float]]]]:
    def of(condition: Any, seed: int) -> Any:
        return table.get((laboratory.label(condition), seed), {}).get(plot.value, float("nan"))

    lists = [of(c, s) for c in conditions for s in seeds if isinstance(of(c, s), list)]
    if lists:
        x: list[Any] = list(range(plot.first, plot.first + max(map(len, lists))))
        empty = [float("nan")] * len(x)
        return x, {
            str(c[plot.lines]): [v if isinstance(v := of(c, s), list) else empty for s in seeds]
            for c in conditions
        }
    x = list(dict.fromkeys(c[plot.x] for c in conditions))
    if not any(isinstance(value, str) for value in x):
        x.sort()
    lines = {}
    for name in dict.fromkeys(c.get(plot.lines, plot.lines) for c in conditions):
        mine = [c for c in conditions if c.get(plot.lines, plot.lines) == name]
        lines[str(name)] = [
            [fmean([of(c, s) for c in mine if c[plot.x] == value] or [float("nan")]) for value in x]
            for s in seeds
        ]
    return x, lines
