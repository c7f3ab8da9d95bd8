"""One colour, one marker and one name for each norm, the same in every figure of the course.

The colours are from Okabe and Ito's palette (2008), which stays readable with the common forms of
colour blindness; ``none`` is a dark grey, because a middle grey looks like the green of layer norm
to an eye without red or green cones. The markers tell the norms apart without any colour at all.
"""

from __future__ import annotations

from collections.abc import Sequence

COLOURS = {
    "batch": "#0072B2",
    "group": "#D55E00",
    "layer": "#009E73",
    "none": "#333333",
}
MARKERS = {"batch": "o", "group": "s", "layer": "^", "none": "x"}
LABELS = {
    "batch": "BatchNorm",
    "group": "GroupNorm",
    "layer": "LayerNorm",
    "none": "no norm",
}

# For lines that belong to no norm: the rest of the same palette.
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#8A5A00", "#5B4B8A", "#999999")
OTHER_MARKERS = ("D", "v", "P", "X", "*", "d")

STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "image.interpolation": "nearest",
    "svg.hashsalt": "norms",  # else the names inside an SVG file are drawn by lot
}


def mix(colour: str, share: float, other: str = "#FFFFFF") -> str:
    """``share`` of ``colour`` and the rest of ``other``, all as ``#RRGGBB``.

    ``mix("#0072B2", 0.3)`` is a light tint, ``mix("#0072B2", 0.6, "#000000")`` a dark shade.
    Raises ``ValueError`` if ``share`` is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be from 0 to 1.")
    first, second = ([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (colour, other))
    mixed = (round(share * a + (1 - share) * b) for a, b in zip(first, second, strict=True))
    return "#" + "".join(f"{value:02X}" for value in mixed)


def ink(colour: str) -> str:
    """The colour, dark enough for small print on white."""
    return mix(colour, 0.75, "#000000")


def legible(background: Sequence[float]) -> str:
    """``black`` or ``white``, whichever has more contrast on a colour (red, green, blue, 0 to 1).

    At least 4.58 : 1, as WCAG 2 counts it, for on any colour one of the two has that.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def shades(colour: str, count: int) -> list[str]:
    """``count`` colours of one hue, from light to dark, with ``colour`` among or between them."""
    if count == 1:
        return [colour]
    steps = [2 * i / (count - 1) - 1 for i in range(count)]
    return [
        mix(colour, 1 + 0.5 * step) if step < 0 else mix(colour, 1 - 0.55 * step, "#000000")
        for step in steps
    ]
