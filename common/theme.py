"""One colour, one marker and one name for each norm, the same in every figure of the course.

The colours are from Okabe and Ito's palette (2008), which stays readable with the common forms of
colour blindness; the markers tell the norms apart without any colour at all.
"""

from __future__ import annotations

COLOURS = {
    "batch": "#0072B2",
    "group": "#D55E00",
    "layer": "#009E73",
    "none": "#7A7A7A",
}
MARKERS = {"batch": "o", "group": "s", "layer": "^", "none": "x"}
LABELS = {
    "batch": "BatchNorm",
    "group": "GroupNorm",
    "layer": "LayerNorm",
    "none": "no norm",
}
LESSONS = {"batch": "Batch-Norm", "group": "Group-Norm", "layer": "Layer-Norm"}

STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}
