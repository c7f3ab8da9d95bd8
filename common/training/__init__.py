"""One run: a recipe in, a trained network and its history out.

``loop.py`` trains, ``recipes.py`` says how, ``history.py`` keeps what happened, ``progress.py``
shows it as it happens, ``evaluation.py`` tests. ``state.py`` is one step, and everything a resumed
run needs; ``optimisers.py`` has Muon and the schedules. In ``turns.py`` several networks take
turns, to be watched side by side. For GPUs: ``acceleration.py`` (compiled, bfloat16) and
``together.py`` (several seeds as one).
"""

from common.training.acceleration import Acceleration
from common.training.evaluation import evaluate, predict
from common.training.history import Diverged, History, Score
from common.training.loop import fit, seeded_model
from common.training.progress import Overview, format_time
from common.training.recipes import (
    OWN_RATES,
    RACE,
    SHARED,
    TARGET,
    Recipe,
    course_recipe,
    race_recipe,
)
from common.training.state import TrainingState, checksum
from common.training.together import Stack, fit_together
from common.training.turns import Turns, take_turns

__all__ = [
    "OWN_RATES",
    "RACE",
    "SHARED",
    "TARGET",
    "Acceleration",
    "Diverged",
    "History",
    "Overview",
    "Recipe",
    "Score",
    "Stack",
    "TrainingState",
    "Turns",
    "checksum",
    "course_recipe",
    "evaluate",
    "fit",
    "fit_together",
    "format_time",
    "predict",
    "race_recipe",
    "seeded_model",
    "take_turns",
]
