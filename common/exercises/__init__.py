"""Checks for the lessons' exercises: right, not attempted yet, or wrong and by which mistake.

Each `check_…` takes the learner's function or class, tries it on small inputs and returns a
`Verdict`, which a notebook shows by itself. A check never raises because of a learner's mistake,
prints nothing of its own, and leaves PyTorch's random state and modes alone.

- `batch_norm`, `group_norm`, `layer_norm`: the checks of each lesson
- `opening`: the checks of the notebook that opens the course
- `clinic`, `clinic_statistics`, `clinic_batches`, `clinic_loading`: the checks of scripts to
  repair; `clinic_network`: what they are tried on; `epoch`: one of the learner's, watched
- `verdict`: what a check finds, and how it is shown; `table`: which hint each wrong answer gets
- `trials`: what every answer goes through, from an ordinary input to odd sizes; `diagnosis`: what
  is said of a wrong result
- `tasks`: what an exercise asks for; `statistics`, `whole_norms`, `gradient`: mean and variance, a
  norm, and its backward pass by hand
- `layers`: what is asked of a layer's class; `running_statistics`: and of batch norm's
- `predictions`: numbers to predict, and what the famous wrong answers give away
- `mistakes`: the well-known mistakes with their hints, to be recognised on the same input;
  `other_sets`: statistics over other values than those of S; `ways`: how all of them are computed;
  `search`: which of them, or which two, give the learner's result; `running_mistakes`: those of
  running statistics; `traces`: what was done to right values
- `errors`: what an error in the learner's code usually means
- `learner`: running the learner's code: prints once, a time limit, the line that failed
- `inputs`: what answers are tried on, and comparing results; `devices`: a pretended device
"""

from common.exercises.batch_norm import (
    check_batch_norm,
    check_batch_norm_gradient,
    check_batch_norm_layer,
    check_batch_norm_prediction,
    check_batch_statistics,
)
from common.exercises.clinic import check_frozen_statistics, check_still_frozen
from common.exercises.clinic_batches import check_mixed_batches, check_no_batch_of_one
from common.exercises.clinic_loading import check_channels_in_order
from common.exercises.clinic_statistics import check_re_estimated_statistics
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
    check_rms_norm,
    check_token_norm,
)
from common.exercises.opening import check_depth_prediction, check_normalise
from common.exercises.table import mutant_table
from common.exercises.verdict import Verdict

__all__ = [
    "Verdict",
    "check_batch_norm",
    "check_batch_norm_gradient",
    "check_batch_norm_layer",
    "check_batch_norm_prediction",
    "check_batch_statistics",
    "check_channel_norm",
    "check_channels_in_order",
    "check_depth_prediction",
    "check_frozen_statistics",
    "check_group_norm",
    "check_group_norm_prediction",
    "check_group_statistics",
    "check_layer_norm",
    "check_layer_norm_prediction",
    "check_layer_statistics",
    "check_mixed_batches",
    "check_no_batch_of_one",
    "check_normalise",
    "check_re_estimated_statistics",
    "check_rms_norm",
    "check_still_frozen",
    "check_token_norm",
    "mutant_table",
]
