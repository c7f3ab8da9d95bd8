"""The checks of the layer norm lesson."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from common.exercises.inputs import alike, sample
from common.exercises.layers import LayerTask, of_inputs
from common.exercises.learner import line_of, told
from common.exercises.mistakes import DIGITS
from common.exercises.predictions import PARAMETERS, Number, examine_numbers
from common.exercises.statistics import Statistics
from common.exercises.trials import examine
from common.exercises.verdict import Verdict, Wrong
from common.exercises.whole_norms import Normalised, RootMeanSquare

_ONE_MODE = (
    "layer norm does the same in train and in eval mode: it needs no self.training and no running "
    "statistics."
)


def check_layer_statistics(layer_statistics: Callable, *, reveal: bool = True) -> Verdict:
    """Check `layer_statistics(x) -> (mean, variance)`, both of shape (N,), for x (N, C, H, W).

    reveal=False is for "find the bug", where digits are lost in E[x²] − E[x]²: of that mistake it
    shows the symptom only.
    """
    return examine(layer_statistics, Statistics("image"), "" if reveal else DIGITS)


def check_layer_norm(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(shape, eps)` that equals `nn.LayerNorm([C, H, W])`, shape (C, H, W).

    It holds its gamma and beta as the parameters `weight` and `bias`.
    """
    return examine(layer, _LayerNormLayer("image"))


def check_channel_norm(channel_norm: Callable) -> Verdict:
    """Check `channel_norm(x, gamma, beta, eps)`, ConvNeXt's layer norm over C at each pixel.

    x (N, C, H, W), gamma and beta (C,).
    """
    return examine(channel_norm, Normalised("channels"))


def check_token_norm(token_norm: Callable) -> Verdict:
    """Check `token_norm(x, gamma, beta, eps)`, layer norm on tokens: over D, for each token.

    x (B, T, D), gamma and beta (D,).
    """
    return examine(token_norm, Normalised("tokens"))


def check_rms_norm(rms_norm: Callable) -> Verdict:
    """Check `rms_norm(x, weight, eps)`: x over the root of its mean square over D, times weight.

    x (B, T, D), weight (D,). No mean is subtracted, and there is no beta.
    """
    return examine(rms_norm, RootMeanSquare("tokens"))


def check_layer_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (parameters over C, H, W; over C; as one group; means over C)`.

    For an input of shape (8, 16, 8, 8): the parameters of the three layers called layer norm, and
    how many means the one over C takes.
    """
    n, c, h, w = 8, 16, 8, 8
    scalars = "gamma and beta are not scalars."
    asked = [
        Number(
            "the parameters of nn.LayerNorm([16, 8, 8])",
            2 * c * h * w,
            {
                2: f"{scalars} Every position (c, h, w) has both.",
                c * h * w: "there is a gamma and a beta.",
                2 * c: "every position (c, h, w) has its own gamma and beta, not every channel.",
                2 * n * c * h * w: "the images of a batch share gamma and beta.",
                2 * h * w: "channels do not share gamma and beta here.",
                2 * (c + h + w): "as many as there are positions: a product, not a sum.",
            },
            PARAMETERS,
        ),
        Number(
            "the parameters of layer norm over C",
            2 * c,
            {
                2: f"{scalars} Every channel has both.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
                2 * h * w: "gamma and beta belong to a channel, and all pixels share them.",
                2 * n * c: "all images share gamma_c and beta_c.",
            },
            PARAMETERS,
        ),
        Number(
            "the parameters of nn.GroupNorm(1, 16)",
            2 * c,
            {
                2: "one group has one mean and one variance, but each channel a gamma and a beta.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
                2 * n * c: "all images share gamma_c and beta_c.",
            },
            PARAMETERS,
        ),
        Number(
            "the number of means over C",
            n * h * w,
            {
                h * w: "that is one image's; the batch holds 8.",
                2 * n * h * w: "have you counted the variances, too?",
                n: "that is one mean an image: over C alone, every pixel has its own.",
                c: "that is batch norm: one mean a channel.",
                n
                * c
                * h
                * w: "that is the number of values: a mean is taken over the 16 of a pixel.",
                1: "every pixel of every image has its own mean.",
                n * c: "that is instance norm: one mean for each channel of each image.",
            },
        ),
    ]
    return examine_numbers(prediction, asked)


@dataclass
class _LayerNormLayer(LayerTask):
    """A class layer(shape, eps) with the parameters weight and bias of shape (C, H, W)."""

    signature: str = "MyLayerNorm((C, H, W), eps)"
    size_word: str = "torch.ones(shape) and torch.zeros(shape), without numbers of your own"
    init_is_given: ClassVar[bool] = False

    def size_of(self, x: torch.Tensor) -> tuple[int, ...]:
        """The shape (C, H, W)."""
        return tuple(x.shape[1:])

    shape_of = size_of

    def wrong_shape(self, layer: nn.Module, x: torch.Tensor, name: str) -> Wrong:
        """What to say of a parameter of the wrong shape: the hint says who shares it."""
        _, c, h, w = x.shape
        size = getattr(layer, name).numel()
        hints = {
            1: "gamma and beta are no scalars: give every position (c, h, w) its own, "
            "torch.ones(shape) and torch.zeros(shape).",
            c: "one value a channel is what group norm has; here every position (c, h, w) has its "
            "own.",
            h * w: "one value a pixel is too few: every position (c, h, w) has its own.",
        }
        wrong = super().wrong_shape(layer, x, name)
        # Only at the first size are the three numbers different.
        return Wrong(wrong.symptom, hints.get(size, wrong.hint) if c == 6 else wrong.hint)

    def extra(self, run: Callable) -> None:
        """The same in eval mode as in train mode."""
        super().extra(run)
        i = sample("image")
        layer = self.build(run.learner, i.x)
        of_inputs(layer, i)
        right = self.expected(i)
        for mode in (False, True):
            layer.train(mode)
            now = f"After .{'train' if mode else 'eval'}()"
            try:
                y = self.forward(run.learner, layer, i.x)
            except Exception as error:
                # It has worked in the mode that it was made in.
                stop = f"{now} your code stops with {told(error)}."
                raise Wrong(stop, _ONE_MODE, line_of(error)) from None
            if not alike((y,), right):
                raise Wrong(f"{now} the output is another one.", _ONE_MODE)
