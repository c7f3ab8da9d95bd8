"""The checks of the group norm lesson."""

from __future__ import annotations

from collections.abc import Callable

from common.exercises.mistakes import INTERLEAVED
from common.exercises.predictions import PARAMETERS, Number, examine_numbers
from common.exercises.statistics import Statistics
from common.exercises.trials import examine
from common.exercises.verdict import Verdict
from common.exercises.whole_norms import Normalised


def check_group_statistics(group_statistics: Callable) -> Verdict:
    """Check `group_statistics(x, groups) -> (mean, variance)`, both (N, G), for x (N, C, H, W).

    Both have x's dtype: written into a float32 tensor, a float64 mean would lose digits.
    """
    return examine(group_statistics, Statistics("group"))


def check_group_norm(group_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `group_norm(x, groups, gamma, beta, eps)`: x (N, C, H, W), gamma and beta (C,).

    reveal=False is for "find the bug", where the groups are cut the wrong way: of that mistake it
    shows the symptom only.
    """
    return examine(group_norm, Normalised("group"), "" if reveal else INTERLEAVED)


def check_group_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (number of means, values in each set S, parameters)`.

    For `nn.GroupNorm(4, 32)` and an input of shape (8, 32, 16, 16).
    """
    n, c, h, w, groups = 8, 32, 16, 16, 4
    asked = [
        Number(
            "the number of means",
            n * groups,
            {
                groups: "each image has its own means: group norm never mixes images.",
                c: "that is batch norm: one mean for each channel.",
                n: "that is layer norm: one mean for each image.",
                2 * n * groups: (
                    "4 is the number of groups, not of the channels in one. Or have you counted "
                    "the variances, too?"
                ),
                1: "each group of each image has a mean of its own.",
                groups * c: "a mean is not one channel's: each group of each image has one.",
                n * groups * h * w: "pixels have no mean of their own: a group's share one.",
                n + groups: "each image has a mean for each group: a product, not a sum.",
                n * c: "that is instance norm: one mean for each channel of each image.",
            },
        ),
        Number(
            "the number of values in S",
            c // groups * h * w,
            {
                n * c // groups * h * w: "S holds values of one image only, not of the batch.",
                h * w: "a group holds C/G = 8 channels, and S the pixels of all of them.",
                c * h * w: "that is layer norm's S: a group holds only C/G = 8 channels.",
                n * h * w: "that is batch norm's S.",
                c // groups: "these are the channels of a group: S holds all their pixels.",
                n * c * h * w: "that is the whole batch: S is one group of one image.",
                groups * h * w: "4 is the number of groups; how many channels are in one?",
                c // groups * h: "H and W are two axes: S holds all H · W = 256 pixels of a map.",
                c // groups + h + w: "as many as there are positions: a product, not a sum.",
                c // groups + h * w: "each of the group's channels has its pixels: a product.",
            },
        ),
        Number(
            "the number of parameters",
            2 * c,
            {
                2 * groups: "gamma and beta are not shared within a group: each channel has both.",
                groups: "gamma and beta are not shared within a group: each channel has both.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "that is nn.LayerNorm([C, H, W]); here pixels share gamma and beta.",
                2: "gamma and beta are not scalars: each channel has both.",
                2 * n * c: "all images share gamma and beta.",
                2 * (c // groups): "these are one group's: the channels of all groups have both.",
                2 * groups * c: "a channel is in one group only: the groups multiply nothing.",
                4 * c: "group norm has no running statistics, which would be no parameters either.",
            },
            PARAMETERS,
        ),
    ]
    return examine_numbers(prediction, asked)
