"""The Markdown pages, filled with tables.

A page marks what belongs to a table with ``<!-- name:start -->`` and ``<!-- name:end -->``;
``python -m common tables`` writes between the two, and ``--check`` says whether it would. No figure
in a page is typed by hand, and a run that is not there yet is a dash.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from common.experiments import median_run
from common.files import write_atomically
from common.reports.cells import NOTHING_YET
from common.reports.course_tables import course_section, course_table, differences_words
from common.reports.court import PAGE, court_page, court_section
from common.reports.field_tables import field_section
from common.reports.kept import Results, finished
from common.reports.network_tables import networks_section
from common.reports.race_table import race_section
from common.reports.search_tables import search_section
from common.reports.speed import goals, report, targets_goal, targets_report
from common.settings import LESSONS

TOP, RESULTS = "README.md", "common/results/README.md"
SPEED, NETWORKS = "common/results/speed.md", "common/networks/README.md"


def benchmark_section(measured: dict[str, Any] | None) -> str:
    """The benchmark's own report, word for word, and what became of its goals."""
    if measured is None:
        return NOTHING_YET
    text = f"```text\n{report(measured).rstrip()}\n```"
    if lines := goals(measured):
        text += "\n\nThe goals, set for four CPU cores, a figure a norm:\n\n" + "\n".join(
            f"- {line}" for line in lines
        )
    return text


def targets_section(measured: dict[str, Any] | None) -> str:
    """How soon a target is reached, and whether that is as soon as was aimed at."""
    if measured is None:
        return NOTHING_YET
    return f"```text\n{targets_report(measured)}\n```\n\n{targets_goal(measured)}"


def lesson_section(results: Results, norm: str) -> str:
    """A lesson's results: the runs of its network, and which of them the lesson shows."""
    runs = [run for run in results.course.get("", []) if run.norm == norm]
    parts = [course_table(runs)]
    if done := finished(runs):
        each = ", ".join(f"{run.test_accuracy:.2f} ({run.seed})" for run in done)
        shown = median_run(done).seed
        parts.append(f"Each run's test accuracy in %, with its seed: {each}. The lesson shows ")
        parts[-1] += f"seed {shown}, {_place_of_the_median(len(done))}."
    return "\n\n".join(parts)


def _place_of_the_median(runs: int) -> str:
    """What the run shown is among so many."""
    if runs == 1:
        return "the only run"
    return "the median" if runs % 2 else "the lower of the middle two"


# Drawn by figures.py: the section that shows each, with what a screen reader says of it.
FIGURES = {
    (TOP, "results"): {
        "common/results/comparison.png": "Test accuracy of the course's network with each norm, "
        "a point a seed",
    },
    (RESULTS, "field"): {
        "common/results/recipes.png": "Test accuracy of networks with each norm, trained with two "
        "recipes",
        "common/results/field.png": "Test accuracy of the networks of the field, a point a seed",
    },
    **{
        (f"{lesson}/README.md", "results"): {
            f"{lesson}/results/curves.png": "Accuracy and loss of each epoch, all seeds",
            f"{lesson}/results/misclassified.png": "Test images that the lesson's network got "
            "wrong",
            f"{lesson}/results/confusion.png": "Confusion matrix of the lesson's network",
        }
        for lesson in LESSONS.values()
    },
}


def sections(results: Results) -> dict[str, dict[str, str]]:
    """What belongs between the marks: page → name → Markdown."""
    shared = results.course.get("", [])
    pages = {
        TOP: {
            "results": [course_table(shared), differences_words(shared)],
            "court": [court_section(results)],
        },
        RESULTS: {
            "course": [course_section(results)],
            "race": [race_section(results)],
            "field": [field_section(results)],
            "search": [search_section(results)],
        },
        SPEED: {
            "benchmark": [benchmark_section(results.benchmark)],
            "benchmark-gpu": [benchmark_section(results.on_gpu)],
            "targets": [targets_section(results.targets)],
        },
        NETWORKS: {"networks": [networks_section()]},
        **{
            f"{lesson}/README.md": {"results": [lesson_section(results, norm)]}
            for norm, lesson in LESSONS.items()
        },
    }
    for (page, name), figures in FIGURES.items():
        pages[page][name] += [
            f"![{alt}]({posixpath.relpath(path, posixpath.dirname(page) or '.')})"
            for path, alt in figures.items()
            if results.counts(results.root / path)
        ]
    return {
        page: {name: "\n\n".join(filter(None, parts)) for name, parts in mine.items()}
        for page, mine in pages.items()
    }


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
    """Bring every page of these results, and the court, up to date; the names of those not so.

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
