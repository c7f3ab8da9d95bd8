"""The claims laboratory: what is said about the norms, as studies that decide it.

``declare.py`` says what a study is, ``bench.py`` what most of them train on, ``studies/`` has one
file a study. ``runner.py`` runs what is missing, ``kept.py`` keeps it in a file a study, and
``verdicts.py`` applies the rule that the study declares. ``claims.py`` lists every claim and what
speaks to it: a study, a proof, or the reason why nothing can.
"""

from common.experiments.laboratory.claims import CLAIMS, Claim
from common.experiments.laboratory.declare import Cell, Plot, Study, label
from common.experiments.laboratory.kept import Kept, Line, load
from common.experiments.laboratory.runner import (
    RESULTS,
    again,
    can_run_on,
    folder_of,
    kept,
    run_studies,
)
from common.experiments.laboratory.studies import STUDIES, find_studies
from common.experiments.laboratory.verdicts import NOT_RUN, Verdict, chosen, judge, per_seed

__all__ = [
    "CLAIMS",
    "NOT_RUN",
    "RESULTS",
    "STUDIES",
    "Cell",
    "Claim",
    "Kept",
    "Line",
    "Plot",
    "Study",
    "Verdict",
    "again",
    "can_run_on",
    "chosen",
    "find_studies",
    "folder_of",
    "judge",
    "kept",
    "label",
    "load",
    "per_seed",
    "run_studies",
]
