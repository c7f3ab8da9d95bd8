"""The checks of the layer norm lesson."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from common.exercises.inputs import sample
from common.exercises.predictions import Number, examine_numbers
from common.exercises.tasks import AFFINE, Normalised, Statistics, construct
from common.exercises.trials import examine
from common.exercises.verdict import Verdict, Wrong


def check_layer_statistics(layer_statistics: Callable, *, reveal: bool = True) -> Verdict:
    """Check `layer_statistics(x) -> (mean, variance)`, both of shape (N,), for x (N, C, H, W).

    reveal=False shows the symptom only, for "find the bug".
    """
    return examine(layer_statistics, Statistics("image"), reveal)


def check_layer_norm(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(shape, eps)` that equals `nn.LayerNorm([C, H, W])`, shape (C, H, W).

    It holds its gamma and beta as the parameters `weight` and `bias`.
    """
    return examine(layer, _LayerNormLayer())


def check_channel_norm(channel_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `channel_norm(x, gamma, beta, eps)`, ConvNeXt's layer norm over C at each pixel.

    x (N, C, H, W), gamma and beta (C,). reveal=False shows the symptom only.
    """
    return examine(channel_norm, Normalised("channels"), reveal)


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
            },
        ),
        Number(
            "the parameters of layer norm over C",
            2 * c,
            {
                2: f"{scalars} Every channel has both.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
            },
        ),
        Number(
            "the parameters of nn.GroupNorm(1, 16)",
            2 * c,
            {
                2: "one group has one mean and one variance, but each channel a gamma and a beta.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
            },
        ),
        Number(
            "the number of means over C",
            n * h * w,
            {
                h * w: "that is one image's; the batch holds 8.",
                n: "that is one mean an image: over C alone, every pixel has its own.",
                c: "that is batch norm: one mean a channel.",
                1: "every pixel of every image has its own mean.",
                n * c: "that is instance norm: one mean for each channel of each image.",
            },
        ),
    ]
    return examine_numbers(prediction, asked)


class _LayerNormLayer(Normalised):
    """A class layer(shape, eps) with the parameters weight and bias of shape (C, H, W)."""

    def __init__(self) -> None:
        super().__init__("image")

    def prepare(self, function: type[nn.Module]) -> Callable:
        shape = (6, 3, 4)
        layer = construct(function, shape, eps=0.1)
        if any(not isinstance(getattr(layer, name, None), nn.Parameter) for name in AFFINE):
            # Is it a stub? Only running it tells.
            layer(sample("image").x)
            raise Wrong(
                "The layer has no parameters called weight and bias.",
                "make gamma and beta learnable: self.weight = nn.Parameter(…), and bias likewise.",
            )
        for name in AFFINE:
            got = tuple(getattr(layer, name).shape)
            if got != shape:
                number = sum(p.numel() for p in layer.parameters())
                raise Wrong(
                    f"For inputs of shape (N, 6, 3, 4) {name} has the shape {got}, not {shape}, "
                    f"and the layer {number} parameters, not {2 * math.prod(shape)}.",
                    {
                        1: "gamma and beta are no scalars: give every position (c, h, w) its own, "
                        "torch.ones(shape) and torch.zeros(shape).",
                        6: "one value a channel is what group norm has; here every position "
                        "(c, h, w) has its own.",
                        12: "one value a pixel is too few: every position (c, h, w) has its own.",
                    }.get(math.prod(got), "gamma and beta have the shape (C, H, W) each."),
                )
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            if not bool((getattr(layer, name) == start).all()):
                raise Wrong(
                    f"The parameter {name} does not start as {start:g} everywhere.",
                    "gamma starts at 1 and beta at 0, so that the norm starts as x̂ itself.",
                )

        def run(
            x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
        ) -> torch.Tensor:
            layer = construct(function, tuple(x.shape[1:]), eps=eps).to(x.device, x.dtype)
            return torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))

        return run
