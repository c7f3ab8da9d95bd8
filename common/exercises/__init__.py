"""Checks for the lessons' exercises: right, not attempted yet, or wrong and by which mistake.

Each `check_…` takes the learner's function or class, tries it on small inputs and returns a
`Verdict`, which a notebook shows as a line or two of text. A check never raises because of a
learner's mistake, prints nothing, and leaves PyTorch's random state alone.

- `batch_norm`, `group_norm`, `layer_norm`: the checks of each lesson, and what is special to it
- `verdict`: what a check finds, and what an error in the learner's code usually means
- `trials`: what every answer goes through, from an ordinary input to odd sizes
- `mistakes`: the well-known mistakes, computed on the same input to be recognised, with their hints
- `tasks`: what each exercise asks for; `inputs`: what answers are tried on, and comparing results
- `predictions`: numbers to predict, and what the famous wrong answers give away
- `table`: which hint each wrong answer gets
"""

from common.exercises.batch_norm import (
    check_batch_norm,
    check_batch_norm_layer,
    check_batch_norm_prediction,
    check_batch_statistics,
)
from common.exercises.group_norm import (
    check_group_norm,
    check_group_norm_prediction,
    check_group_statistics,
)
from common.exercises.layer_norm import (
    check_channel_norm,
    check_layer_norm,
    check_layer_norm_prediction,
    check_layer_statistics,
)
from common.exercises.table import mutant_table
from common.exercises.verdict import Verdict

__all__ = [
    "Verdict",
    "check_batch_norm",
    "check_batch_norm_layer",
    "check_batch_norm_prediction",
    "check_batch_statistics",
    "check_channel_norm",
    "check_group_norm",
    "check_group_norm_prediction",
    "check_group_statistics",
    "check_layer_norm",
    "check_layer_norm_prediction",
    "check_layer_statistics",
    "mutant_table",
]
