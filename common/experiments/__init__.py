"""Many runs: declared, performed side by side, resumed, and compared.

``runs.py`` performs and resumes them, ``workers.py`` keeps processes apart, ``weights.py`` keeps
what they learnt, ``shipped.py`` makes and finds those that come with the course, ``statistics.py``
has the intervals and Welch's test. What is run: ``course.py`` the comparison of the norms, whose
race to 70 % ``race.py`` keeps, ``field.py`` the networks of the field with their sources' recipes,
``search.py`` the candidates for the course's network, ``benchmark.py`` the speed, ``targets.py``
the time to a target. In ``laboratory/`` the claims about the norms are put to the test.
"""

from common.experiments.course import accuracy_runs, comparison_runs, own_folder, race_jobs
from common.experiments.field import FIELD, RECIPES, Entry, Source, field_runs
from common.experiments.race import RACE_FILE, check_race_file, save_race
from common.experiments.runs import Run, perform_to, run_all
from common.experiments.shipped import (
    check_shippable,
    course_histories,
    field_histories,
    is_shipped,
    load_histories,
    load_shipped,
    median_run,
    results_folder,
    run_for_lessons,
    shipped_histories,
    shipped_run,
    train_or_load,
    trainer,
    weights_of,
)
from common.experiments.statistics import Difference, Summary, compare_means, summarise
from common.experiments.weights import load_weights, try_weights

__all__ = [
    "FIELD",
    "RACE_FILE",
    "RECIPES",
    "Difference",
    "Entry",
    "Run",
    "Source",
    "Summary",
    "accuracy_runs",
    "check_race_file",
    "check_shippable",
    "compare_means",
    "comparison_runs",
    "course_histories",
    "field_histories",
    "field_runs",
    "is_shipped",
    "load_histories",
    "load_shipped",
    "load_weights",
    "median_run",
    "own_folder",
    "perform_to",
    "race_jobs",
    "results_folder",
    "run_all",
    "run_for_lessons",
    "save_race",
    "shipped_histories",
    "shipped_run",
    "summarise",
    "train_or_load",
    "trainer",
    "try_weights",
    "weights_of",
]
