"""The checks of the batch norm lesson."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from common.exercises.gradient import BatchNormGradient
from common.exercises.mistakes import BIASED, CONSTANT, INVERTED, REPLACED, UNBIASED
from common.exercises.predictions import Number, examine_numbers
from common.exercises.running_statistics import BatchNormLayer
from common.exercises.statistics import Statistics
from common.exercises.trials import examine
from common.exercises.verdict import Verdict
from common.exercises.whole_norms import Normalised


def check_batch_statistics(batch_statistics: Callable) -> Verdict:
    """Check `batch_statistics(x) -> (mean, variance)`, both of shape (C,), for x (N, C, H, W)."""
    return examine(batch_statistics, Statistics("batch"))


def check_batch_norm(batch_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `batch_norm(x, gamma, beta, eps)` in train mode: x (N, C, H, W), gamma, beta (C,).

    reveal=False is for "find the bug", where the statistics pass for constants: of that mistake it
    shows the symptom only.
    """
    planted = CONSTANT.removeprefix("{}")
    return examine(batch_norm, Normalised("batch"), "" if reveal else planted)


def check_batch_norm_layer(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(channels, eps, momentum)` with running statistics, train and eval mode.

    It holds `weight`, `bias`, `running_mean` and `running_var`, each of shape (C,), for inputs of
    shape (N, C, H, W).
    """
    return examine(layer, BatchNormLayer("batch"))


def check_batch_norm_gradient(batch_norm_gradient: Callable) -> Verdict:
    """Check `batch_norm_gradient(x, grad_y, gamma, eps) -> grad_x`, the backward pass by hand.

    x, grad_y and grad_x have the shape (N, C, H, W), gamma (C,); in train mode, so that mean and
    variance depend on x.
    """
    return examine(batch_norm_gradient, BatchNormGradient("batch"))


def check_batch_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (running_mean, running_var, y in train mode, y in eval mode)`.

    One channel, a batch of the values 1, 3, 5, 7, fresh running statistics 0 and 1, momentum 0.1,
    gamma 1, beta 0, eps 0; y is what the value 1 becomes.
    """
    mean, biased, unbiased = 4.0, 5.0, 20 / 3
    running_mean, running_var = 0.1 * mean, 0.9 + 0.1 * unbiased
    train, evaluation = (1 - mean) / biased**0.5, (1 - running_mean) / running_var**0.5
    step = "(1 − momentum) · old + momentum · new."
    asked = [
        Number(
            "running_mean",
            running_mean,
            {
                0.9 * mean: INVERTED,
                mean: REPLACED,
                0.0: "it moves in every training step.",
                0.01 * mean: "momentum is 0.1, not 0.01.",
            },
            f"the mean of the batch first, then: {step}",
        ),
        Number(
            "running_var",
            running_var,
            {
                0.9 + 0.1 * biased: BIASED,
                0.1 + 0.9 * unbiased: INVERTED,
                0.1 + 0.9 * biased: f"{INVERTED} {BIASED}",
                0.1 * unbiased: "running_var starts at 1, not at 0.",
                0.1 * biased: f"running_var starts at 1, not at 0. {BIASED}",
                unbiased: REPLACED,
                biased: f"{REPLACED} {BIASED}",
                1.0: "it moves in every training step.",
                0.9 + 0.1 * unbiased**0.5: "running_var takes the variance, not its root.",
                0.9 + 0.1 * biased**0.5: "running_var takes the variance, not its root.",
                0.9 + 0.1 * 20 / 5: "unbiased divides by |S| − 1, one less, not one more: 20 / 3.",
                0.9 + 0.1 * 20: "the squared distances are summed: divide by |S| − 1.",
            },
            f"the variance of the batch first, then: {step}",
        ),
        Number(
            "y in train mode",
            train,
            {
                (1 - mean) / unbiased**0.5: UNBIASED,
                (1 - mean) / biased: "divide by the square root of the variance.",
                -train: "the sign is wrong: 1 is less than the mean. (Or is it what 7 becomes?)",
                evaluation: "that is eval mode: in train mode the batch's own statistics count.",
            },
            "in train mode: (1 − mean of the batch) / root of its variance.",
        ),
        Number(
            "y in eval mode",
            evaluation,
            {
                train: "in eval mode the running statistics take the place of the batch's.",
                (1 - running_mean) / running_var: "divide by the square root of running_var.",
                (7 - running_mean) / running_var**0.5: "that is what 7 becomes, not 1.",
                1.0: "the running statistics moved in the training step before: 0 and 1 are gone.",
                (1 - running_mean) / (0.9 + 0.1 * biased) ** 0.5: BIASED,
            },
            "in eval mode: (1 − running_mean) / root of running_var, after the step.",
        ),
    ]
    return examine_numbers(prediction, asked)
