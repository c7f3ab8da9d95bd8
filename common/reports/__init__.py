"""From result files to tables, figures and pages.

``kept.py`` reads the results that count. ``course_tables.py``, ``field_tables.py`` and
``search_tables.py`` make Markdown of them with the pieces of ``markdown.py``, ``console.py`` a
table for the terminal, ``speed.py`` the benchmark's report; ``network_tables.py`` lists the
networks. ``pages.py`` fills the pages, and ``figures.py`` draws what they show.
"""

from common.reports.console import comparison_table, conclusion
from common.reports.field_tables import field_report
from common.reports.figures import draw, draw_comparison
from common.reports.kept import Results, load_results
from common.reports.pages import update
from common.reports.speed import report, save_benchmark

__all__ = [
    "Results",
    "comparison_table",
    "conclusion",
    "draw",
    "draw_comparison",
    "field_report",
    "load_results",
    "report",
    "save_benchmark",
    "update",
]
