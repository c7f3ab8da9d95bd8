"""From result files to tables, figures and pages.

``kept.py`` reads the results that count. ``course_tables.py``, ``field_tables.py``,
``network_tables.py``, ``race_table.py`` and ``search_tables.py`` make Markdown of them with the
pieces of ``cells.py``, ``console.py`` a table for the terminal, ``speed.py`` the benchmark's
report, ``studies.py`` that of a study. ``pages.py`` fills the pages, ``court.py`` writes the one on
the claims, whose rows ``court_rows.py`` and ``whole_court.py`` show in notebooks, and
``figures.py`` draws what they show. ``notebooks.py`` brings the notebooks into the form that
Jupyter gives them.
"""

from common.reports.console import comparison_table, conclusion
from common.reports.court_rows import CourtRows, court_rows
from common.reports.field_tables import field_report
from common.reports.figures import draw, draw_comparison
from common.reports.kept import Results, load_results
from common.reports.notebooks import bring_into_form
from common.reports.pages import update
from common.reports.speed import (
    check_benchmark_folder,
    report,
    save_benchmark,
    targets_report,
)
from common.reports.studies import ShippedStudy, draw_study, study_list, study_report
from common.reports.whole_court import court_quiz, whole_court

__all__ = [
    "CourtRows",
    "Results",
    "ShippedStudy",
    "bring_into_form",
    "check_benchmark_folder",
    "comparison_table",
    "conclusion",
    "court_quiz",
    "court_rows",
    "draw",
    "draw_comparison",
    "draw_study",
    "field_report",
    "load_results",
    "report",
    "save_benchmark",
    "study_list",
    "study_report",
    "targets_report",
    "update",
    "whole_court",
]
