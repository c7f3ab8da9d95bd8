"""Every figure of the course: plain data in, a matplotlib figure out.

No function here reads a file or trains a network. In a notebook a cell that ends with a call shows
the figure once; ``display(figure)`` shows it from anywhere else; ``save`` writes it to a file. A
norm has the same colour and marker in each figure (``theme.py``), and each title names the data
set, so that a figure made on the stand-in or in quick mode can never pass for CIFAR-10.

``pictures.py`` shows images and mistakes, ``curves.py`` runs and their comparison, ``charts.py``
lines, bars and what goes on inside a network, ``sets.py`` which values a norm averages,
``interactive.py`` the same with sliders, ``panels.py`` what a study measured. ``maps.py`` has sizes
layer by layer, ``heat.py`` maps of any numbers, ``turns.py`` networks that take turns, while they
do, ``answers.py`` how sure networks are and where they disagree. ``guesses.py`` asks for a number
before a figure shows it, ``quiz.py`` for one of a few answers. ``drawing.py`` is what all of them
are drawn with.
"""

from common.visualisation.answers import disagreements, reliability_diagram
from common.visualisation.charts import (
    activation_histograms,
    affine_parameters,
    bar_figure,
    gradient_norms,
    line_figure,
    removed_gradient,
    running_statistics,
)
from common.visualisation.curves import comparison, curves, slopes
from common.visualisation.drawing import Note, save
from common.visualisation.guesses import Guesses
from common.visualisation.heat import heat_maps
from common.visualisation.interactive import play, play_with_batch_noise, play_with_sets
from common.visualisation.maps import layer_map
from common.visualisation.panels import panel_figure
from common.visualisation.pictures import (
    augmentations,
    class_accuracy,
    confusion,
    confusion_counts,
    gallery,
    misclassified,
    samples,
)
from common.visualisation.quiz import Quiz
from common.visualisation.sets import SET_KINDS, axes_figure, set_mask, set_numbers
from common.visualisation.theme import LABELS
from common.visualisation.turns import turns_figure, watch_turns

__all__ = [
    "LABELS",
    "SET_KINDS",
    "Guesses",
    "Note",
    "Quiz",
    "activation_histograms",
    "affine_parameters",
    "augmentations",
    "axes_figure",
    "bar_figure",
    "class_accuracy",
    "comparison",
    "confusion",
    "confusion_counts",
    "curves",
    "disagreements",
    "gallery",
    "gradient_norms",
    "heat_maps",
    "layer_map",
    "line_figure",
    "misclassified",
    "panel_figure",
    "play",
    "play_with_batch_noise",
    "play_with_sets",
    "reliability_diagram",
    "removed_gradient",
    "running_statistics",
    "samples",
    "save",
    "set_mask",
    "set_numbers",
    "slopes",
    "turns_figure",
    "watch_turns",
]
