"""The Markdown pages, filled with tables.

A page marks what belongs to a table with ``<!-- name:start -->`` and ``<!-- name:end -->``;
``python -m common tables`` writes between the two, and ``--check`` says whether it would. No figure
in a page is typed by hand, and a run that is not there yet is a dash.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from typing import TYPE_CHECKING

from common.experiments import FIELD, median_run
from common.files import write_atomically
from common.reports.course_tables import course_section, course_table
from common.reports.court import PAGE, court_page
from common.reports.field_tables import (
    field_findings,
    field_notes,
    field_section,
    field_table,
    network_of,
    norm_words,
    parameters_of,
)
from common.reports.kept import Results, finished
from common.reports.markdown import NOTHING_YET, markdown
from common.reports.search_tables import search_section
from common.settings import LESSONS, ROOT

if TYPE_CHECKING:
    from torch import nn


def benchmark_section(results: Results) -> str:
    """The benchmark's own report, word for word, and what became of its goals."""
    if results.benchmark is None:
        return NOTHING_YET
    from common.reports.speed import goals, report

    text = f"```text\n{report(results.benchmark).rstrip()}\n```"
    if lines := goals(results.benchmark):
        text += "\n\nThe goals, set for four CPU cores, a figure a norm:\n\n" + "\n".join(
            f"- {line}" for line in lines
        )
    return text


def lesson_networks(lesson: str) -> dict[str, str]:
    """The networks of a lesson and the norm each is built with there, from its ``model.py``."""
    path = ROOT / lesson / "model.py"
    spec = importlib.util.spec_from_file_location(f"model of {lesson}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


def summary_section(lesson: str) -> str:
    """A lesson's networks: parameters, where they sit, and torchsummary's tables, folded."""
    from common.networks import NETWORKS

    rows, folds = [], []
    for network, norm in lesson_networks(lesson).items():
        model = network_of(network, norm)
        inside = sum(parameters_of(layer) for layer in model.modules() if _is_norm(layer))
        source = NETWORKS[network].source
        if source.startswith("github.com/"):
            repository, _, rest = source.removeprefix("github.com/").partition(",")
            source = f"[{repository}](https://github.com/{repository})" + (rest and f",{rest}")
        row = (
            f"`{network}`",
            norm_words(model),
            f"{parameters_of(model):,}",
            f"{inside:,}",
            source,
        )
        rows.append(row)
        folds.append(_fold(network, model))
    header = ("Network", "Norm", "Parameters", "of these in norms", "Source")
    return "\n\n".join([markdown(header, rows, "llrr"), *folds])


def _is_norm(layer: nn.Module) -> bool:
    from torch import nn

    return isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)


@cache
def _fold(network: str, model: nn.Module) -> str:
    from common.networks import parameters_missed, skips_missed, summary

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
    if done := finished(runs):
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


# Drawn by figures.py into a lesson's results, with what a screen reader says of them.
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
    """Bring every README of these results, and the court, up to date; the names of those not so.

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
    court, path = court_page(results), results.root / PAGE
    if court is not None and court != (path.read_text(encoding="utf-8") if path.exists() else ""):
        stale.append(PAGE)
        if not check:
            write_atomically(path, court)
    return stale
