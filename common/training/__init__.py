"""One run: a recipe in, a trained network and its history out.

``loop.py`` trains, ``recipes.py`` says how, ``history.py`` keeps what happened, ``progress.py``
shows it as it happens, ``evaluation.py`` tests. ``state.py`` is one step, and everything a resumed
run needs; ``optimisers.py`` has Muon and the schedules. In ``turns.py`` several networks take
turns, to be watched side by side; ``inside.py`` looks into one while it trains, and at what its
answers rest on. For GPUs: ``acceleration.py`` (compiled, bfloat16) and ``together.py`` (several
seeds as one).
"""

from common.training.acceleration import Acceleration
from common.training.evaluation import Reliability, evaluate, predict, reliability
from common.training.history import Diverged, History, Score
from common.training.inside import Inside, grad_cam
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
    "Inside",
    "Overview",
    "Recipe",
    "Reliability",
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
    "grad_cam",
    "predict",
    "race_recipe",
    "reliability",
    "seeded_model",
    "take_turns",
]
