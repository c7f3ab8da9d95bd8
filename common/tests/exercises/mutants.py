"""Wrong answers to the lessons' exercises, and right ones written in other ways.

A `Mutant` is an answer with one deliberate mistake, the check that must reject it, and the words
of which its hint must hold one. The answers are put together from small parts, so that each
mistake meets every exercise it concerns: `fold` brings the values of every set S into one row,
whatever the norm, and the parts below work on such rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from common import exercises as checks


@dataclass(frozen=True)
class Mutant:
    """A wrong answer. words: the hint must contain at least one of them."""

    name: str
    check: Callable
    answer: Any
    words: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """A right answer, written in a way of its own."""

    name: str
    check: Callable
    answer: Any


# Rows of values, one row a set S


def fold(x, layout, groups=1):
    """The values of x (N, C, H, W) as rows, one for each set S of the norm."""
    n, c, h, w = x.shape
    if layout == "batch":
        return x.transpose(0, 1).reshape(c, -1)
    if layout == "group":
        return x.reshape(n * groups, -1)
    if layout == "image":
        return x.reshape(n, -1)
    if layout == "channels":
        return x.permute(0, 2, 3, 1).reshape(-1, c)
    if layout == "instance":
        return x.reshape(n * c, -1)
    if layout == "everything":
        return x.reshape(1, -1)
    if layout == "position":  # over N alone
        return x.reshape(n, -1).T
    if layout == "interleaved":
        return x.reshape(n, c // groups, groups, h, w).transpose(1, 2).reshape(n * groups, -1)
    if layout == "group of the batch":
        return x.reshape(n, groups, -1).transpose(0, 1).reshape(groups, -1)
    raise ValueError(layout)


def unfold(rows, shape, layout, groups=1):
    """The inverse of `fold`."""
    n, c, h, w = shape
    if layout == "batch":
        return rows.reshape(c, n, h, w).transpose(0, 1)
    if layout == "channels":
        return rows.reshape(n, h, w, c).permute(0, 3, 1, 2)
    if layout == "position":
        return rows.T.reshape(shape)
    if layout == "interleaved":
        return rows.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(shape)
    if layout == "group of the batch":
        return rows.reshape(groups, n, -1).transpose(0, 1).reshape(shape)
    return rows.reshape(shape)


def shaped(statistic, shape, layout, groups):
    """One number a row, in the shape that the exercise asks for."""
    n, c, h, w = shape
    return statistic.reshape(
        {
            "batch": (c,),
            "group": (n, groups),
            "interleaved": (n, groups),
            "group of the batch": (groups,),
            "image": (n,),
            "instance": (n, c),
            "channels": (n, h, w),
            "everything": (),
            "position": (c, h, w),
        }[layout]
    )


# Mean and variance of rows, right and wrong


def two_pass(rows):
    mean = rows.mean(1)
    return mean, (rows - mean[:, None]).pow(2).mean(1)


def unbiased(rows):
    return rows.mean(1), rows.var(1)


def uncentred(rows):
    return rows.mean(1), (rows * rows).mean(1)


def difference_of_means(rows):
    mean = rows.mean(1)
    return mean, (rows * rows).mean(1) - mean * mean


def standard_deviation(rows):
    return rows.mean(1), rows.std(1, correction=0)


def sums(rows):
    return rows.sum(1), (rows - rows.mean(1, keepdim=True)).pow(2).sum(1)


def sum_of_squares(rows):
    return rows.mean(1), (rows - rows.mean(1, keepdim=True)).pow(2).sum(1)


def without_gradient(rows):
    with torch.no_grad():
        return two_pass(rows)


def constant_variance(rows):
    mean, variance = two_pass(rows)
    return mean, variance.detach()


def constant_mean(rows):
    mean, variance = two_pass(rows)
    return mean.detach(), variance


def in_float32(rows):
    mean, variance = two_pass(rows.float())
    return mean, variance


def through_float32(rows):
    mean, variance = two_pass(rows.float())
    return mean.to(rows.dtype), variance.to(rows.dtype)


def through_item(rows):
    mean = torch.tensor([row.mean().item() for row in rows], dtype=rows.dtype)
    variance = torch.tensor([row.var(correction=0).item() for row in rows], dtype=rows.dtype)
    return mean, variance


def into_new_tensors(rows):
    """As found in the wild: float32 tensors on the CPU, filled in a loop."""
    mean, variance = torch.zeros(len(rows)), torch.zeros(len(rows))
    for k, row in enumerate(rows):
        mean[k], variance[k] = row.mean(), row.var(correction=0)
    return mean, variance


def on_the_cpu(rows):
    """Right dtype, wrong device."""
    mean = torch.zeros(len(rows), dtype=rows.dtype)
    mean, variance = mean + rows.mean(1), rows.var(1, correction=0)
    return mean, variance


# The last steps, right and wrong


def finish(rows, mean, variance, eps):
    return (rows - mean[:, None]) / torch.sqrt(variance + eps)[:, None]


def eps_outside(rows, mean, variance, eps):
    return (rows - mean[:, None]) / (torch.sqrt(variance) + eps)[:, None]


def eps_missing(rows, mean, variance, eps):
    return (rows - mean[:, None]) / torch.sqrt(variance)[:, None]


def eps_fixed(rows, mean, variance, eps):
    return (rows - mean[:, None]) / torch.sqrt(variance + 1e-5)[:, None]


def no_root(rows, mean, variance, eps):
    return (rows - mean[:, None]) / (variance + eps)[:, None]


def no_centring(rows, mean, variance, eps):
    return rows / torch.sqrt(variance + eps)[:, None]


def per_channel(values):
    return values[:, None, None] if values.dim() == 1 else values


def affine(y, gamma, beta, groups):
    return per_channel(gamma) * y + per_channel(beta)


def no_affine(y, gamma, beta, groups):
    return y


def no_scale(y, gamma, beta, groups):
    return y + per_channel(beta)


def no_shift(y, gamma, beta, groups):
    return per_channel(gamma) * y


def shift_first(y, gamma, beta, groups):
    return per_channel(gamma) * (y + per_channel(beta))


def swapped_affine(y, gamma, beta, groups):
    return per_channel(beta) * y + per_channel(gamma)


def scalar_affine(y, gamma, beta, groups):
    return gamma.flatten()[0] * y + beta.flatten()[0]


def average_affine(y, gamma, beta, groups):
    return gamma.mean() * y + beta.mean()


def average_gamma(y, gamma, beta, groups):
    return gamma.mean() * y + per_channel(beta)


def last_axis_affine(y, gamma, beta, groups):
    """Broadcasts (C,) along W: an error unless C = W."""
    return gamma * y + beta


def affine_of_a_group(y, gamma, beta, groups):
    size = len(gamma) // groups
    gamma = gamma[::size].repeat_interleave(size)
    beta = beta[::size].repeat_interleave(size)
    return affine(y, gamma, beta, groups)


# Answers put together


def statistics_answer(layout, statistics=two_pass, asked=None):
    """`statistics(x)`, or `(x, groups)` for group norm; sets S of `layout`."""

    def answer(x, groups=1):
        mean, variance = statistics(fold(x, layout, groups))
        return (
            shaped(mean, x.shape, layout, groups),
            shaped(variance, x.shape, layout, groups),
        )

    if (asked or layout) == "group":
        return lambda x, groups: answer(x, groups)
    return lambda x: answer(x)


def norm_answer(layout, statistics=two_pass, finish=finish, affine=affine, asked=None):
    """`norm(x, gamma, beta, eps)`, with groups behind x for group norm; sets S of `layout`."""

    def answer(x, groups, gamma, beta, eps):
        rows = fold(x, layout, groups)
        rows = finish(rows, *statistics(rows), eps)
        return affine(unfold(rows, x.shape, layout, groups), gamma, beta, groups)

    if (asked or layout) == "group":
        return answer
    return lambda x, gamma, beta, eps=1e-5: answer(x, 1, gamma, beta, eps)


def layer_answer(answer):
    """`answer` as the class that `check_layer_norm` asks for."""

    class Layer(nn.Module):
        def __init__(self, shape, eps=1e-5):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.ones(shape))
            self.bias = nn.Parameter(torch.zeros(shape))

        def forward(self, x):
            return answer(x, self.weight, self.bias, self.eps)

    return Layer


STATISTICS = {
    "batch": checks.check_batch_statistics,
    "group": checks.check_group_statistics,
    "image": checks.check_layer_statistics,
}
NORMS = {
    "batch": checks.check_batch_norm,
    "group": checks.check_group_norm,
    "image": checks.check_layer_norm,
    "channels": checks.check_channel_norm,
}

WRONG_STATISTICS = [
    ("unbiased variance", unbiased, ("unbiased",)),
    ("mean of x² as variance", uncentred, ("subtract the mean first",)),
    ("E[x²] − E[x]²", difference_of_means, ("E[x²] − E[x]²",)),
    ("standard deviation as variance", standard_deviation, ("standard deviation",)),
    ("sums, no averages", sums, ("summed",)),
    ("sum of squares", sum_of_squares, ("squares are summed",)),
    (
        "statistics without gradient",
        without_gradient,
        ("passes on no gradient", "pass on no gradient"),
    ),
    ("variance without gradient", constant_variance, ("the variance passes on",)),
    ("mean without gradient", constant_mean, ("the mean passes on",)),
    ("comes back as float32", in_float32, ("wrong dtype",)),
    ("computed in float32", through_float32, ("wrong dtype",)),
    ("statistics through .item()", through_item, ("passes on no gradient", "pass on no gradient")),
    ("statistics in new float32 tensors", into_new_tensors, ("wrong dtype",)),
    ("statistics in new tensors on the CPU", on_the_cpu, ("wrong device",)),
]
WRONG_ENDS = [
    ("eps outside the root", eps_outside, ("outside the root",)),
    ("eps missing", eps_missing, ("eps is missing",)),
    ("eps fixed", eps_fixed, ("fixed at 1e-5",)),
    ("no root", no_root, ("square root",)),
    ("mean not subtracted", no_centring, ("not subtracted",)),
]
WRONG_AFFINES = [
    ("gamma and beta not used", no_affine, ("not used",)),
    ("gamma not used", no_scale, ("gamma is not used",)),
    ("beta not added", no_shift, ("beta is not added",)),
    ("beta added before scaling", shift_first, ("before scaling",)),
    ("gamma and beta swapped", swapped_affine, ("swapped",)),
    ("gamma and beta of channel 0 for all", scalar_affine, ("each channel c has its own",)),
    ("average gamma for all", average_gamma, ("one gamma serves",)),
    ("average gamma and beta for all", average_affine, ("each channel c has its own",)),
]
WRONG_SETS = {
    "batch": ["instance", "image", "everything", "position", "channels"],
    "group": ["interleaved", "group of the batch", "instance", "image", "batch", "channels"],
    "image": ["batch", "instance", "channels", "everything", "position"],
    "channels": ["batch", "instance", "image", "everything", "position"],
}
WORDS_OF_SETS = {
    "interleaved": ("cut the wrong way",),
    "group of the batch": ("N must not be among them",),
    "instance": ("over H and W;",),
    "image": ("over C, H and W;",),
    "batch": ("over N, H and W;",),
    "everything": ("over N, C, H and W;",),
    "position": ("over N;",),
    "channels": ("over C;",),
}


# Single mistakes that do not fit the scheme


def changes_its_input(x, gamma, beta, eps=1e-5):
    x -= x.mean((0, 2, 3), keepdim=True)
    return affine(x / torch.sqrt(x.square().mean((0, 2, 3), keepdim=True) + eps), gamma, beta, 1)


def changes_its_input_in_groups(x, groups, gamma, beta, eps=1e-5):
    rows = x.view(len(x) * groups, -1)
    rows.sub_(rows.mean(1, keepdim=True))
    rows = rows / torch.sqrt(rows.square().mean(1, keepdim=True) + eps)
    return affine(rows.view_as(x), gamma, beta, groups)


def changes_its_input_at_pixels(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    x[:] = (x - mean) / torch.sqrt(variance + eps)
    return affine(x, gamma, beta, 1)


def changes_gamma(x, gamma, beta, eps=1e-5):
    y = norm_answer("batch")(x, gamma, beta, eps)
    gamma *= 1.5
    return y


def in_place_between(x, gamma, beta, eps=1e-5):
    """Autograd still needs the values that are overwritten here."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    root = torch.sqrt(centred.square().mean((0, 2, 3), keepdim=True) + eps)
    centred /= root
    return affine(centred, gamma, beta, 1)


def with_view(x, groups, gamma, beta, eps=1e-5):
    rows = x.view(len(x) * groups, -1)
    rows = finish(rows, *two_pass(rows), eps)
    return affine(rows.view(x.shape), gamma, beta, groups)


def squeezes_too_much(x, gamma, beta, eps=1e-5):
    mean = x.mean((0, 2, 3), keepdim=True).squeeze()[:, None, None]
    variance = x.var((0, 2, 3), keepdim=True, correction=0).squeeze()[:, None, None]
    return affine((x - mean) / torch.sqrt(variance + eps), gamma, beta, 1)


def with_numpy(x):
    values = x.numpy()
    return torch.from_numpy(values.mean((0, 2, 3))), torch.from_numpy(values.var((0, 2, 3)))


def keeps_axes(x):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return mean, variance


def variance_over_other_axes(x):
    mean = x.mean((0, 2, 3))
    return mean, (x - mean[:, None, None]).square().mean((1, 2, 3))


def unbiased_and_eps_outside(x, gamma, beta, eps=1e-5):
    rows = fold(x, "batch")
    return affine(unfold(eps_outside(rows, *unbiased(rows), eps), x.shape, "batch"), gamma, beta, 1)


SINGLE = [
    Mutant("input changed in place", checks.check_batch_norm, changes_its_input, ("in place",)),
    Mutant(
        "input changed in place",
        checks.check_group_norm,
        changes_its_input_in_groups,
        ("in place",),
    ),
    Mutant(
        "input changed in place",
        checks.check_channel_norm,
        changes_its_input_at_pixels,
        ("in place",),
    ),
    Mutant(
        "input changed in place",
        checks.check_layer_norm,
        layer_answer(
            lambda x, gamma, beta, eps: changes_its_input_in_groups(x, 1, gamma, beta, eps)
        ),
        ("in place",),
    ),
    Mutant("gamma changed in place", checks.check_batch_norm, changes_gamma, ("in place",)),
    Mutant(
        "value needed by autograd overwritten",
        checks.check_batch_norm,
        in_place_between,
        ("in place",),
    ),
    Mutant(".view() instead of .reshape()", checks.check_group_norm, with_view, (".reshape()",)),
    Mutant(".squeeze() of all axes", checks.check_batch_norm, squeezes_too_much, (".squeeze()",)),
    Mutant("numpy", checks.check_batch_statistics, with_numpy, ("numpy",)),
    Mutant("axes of length 1 kept", checks.check_batch_statistics, keeps_axes, ("squeeze",)),
    *(
        Mutant(
            "variance before mean",
            check,
            lambda *a, layout=layout: statistics_answer(layout)(*a)[::-1],
            ("swapped",),
        )
        for layout, check in STATISTICS.items()
    ),
    *(
        Mutant(
            "gamma and beta along the last axis",
            NORMS[layout],
            norm_answer(layout, affine=last_axis_affine),
            ("(1, C, 1, 1)",),
        )
        for layout in ("batch", "group", "channels")
    ),
    Mutant(
        "gamma and beta of a group",
        checks.check_group_norm,
        norm_answer("group", affine=affine_of_a_group),
        ("channels of a group share",),
    ),
    Mutant(
        "unbiased variance and eps outside the root",
        checks.check_batch_norm,
        unbiased_and_eps_outside,
        ("two things at once",),
    ),
    Mutant(
        "no return line", checks.check_batch_norm, lambda *_, **__: None, ("return line missing",)
    ),
    Mutant(
        "variance over other axes than the mean",
        checks.check_batch_statistics,
        variance_over_other_axes,
        ("check the axes",),
    ),
    Mutant(
        "returns the mean alone",
        checks.check_batch_statistics,
        lambda x: x.mean((0, 2, 3)),
        ("return mean, variance",),
    ),
    Mutant(
        "other arguments", checks.check_batch_norm, lambda x, eps: x, ("keep the stub's arguments",)
    ),
    Mutant("called, not handed over", checks.check_batch_norm, 3.0, ("without calling it",)),
    Mutant(
        "an object, not the class",
        checks.check_batch_norm_layer,
        nn.BatchNorm2d(3),
        ("hand over the class",),
    ),
]


# Classes for the layer norm of the whole image


class ScalarLayerNorm(nn.Module):
    """Gamma and beta taken for scalars."""

    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return norm_answer("image")(x, self.weight[0], self.bias[0], self.eps)


class ChannelLayerNorm(ScalarLayerNorm):
    """One gamma and one beta a channel."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.weight = nn.Parameter(torch.ones(shape[0]))
        self.bias = nn.Parameter(torch.zeros(shape[0]))


class PixelLayerNorm(ScalarLayerNorm):
    """One gamma and one beta a pixel."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.weight = nn.Parameter(torch.ones(shape[1:]))
        self.bias = nn.Parameter(torch.zeros(shape[1:]))


class ScalarGammaLayerNorm(ScalarLayerNorm):
    """Gamma is a scalar, beta is not."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.bias = nn.Parameter(torch.zeros(shape))


class TensorLayerNorm(nn.Module):
    """Gamma and beta are tensors, no parameters: nothing would train them."""

    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.eps, self.weight, self.bias = eps, torch.ones(shape), torch.zeros(shape)

    def forward(self, x):
        return norm_answer("image")(x, self.weight, self.bias, self.eps)


class ZeroLayerNorm(layer_answer(norm_answer("image"))):
    """Gamma starts at 0: the layer gives 0 for everything."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        nn.init.zeros_(self.weight)


LAYER_NORMS = [
    ("gamma and beta are scalars", ScalarLayerNorm, ("no scalars",)),
    ("gamma is a scalar", ScalarGammaLayerNorm, ("no scalars",)),
    ("gamma and beta of a channel", ChannelLayerNorm, ("one value a channel",)),
    ("gamma and beta of a pixel", PixelLayerNorm, ("one value a pixel",)),
    ("gamma and beta not learnable", TensorLayerNorm, ("learnable",)),
    ("gamma starts at 0", ZeroLayerNorm, ("starts at 1",)),
]


# Classes with running statistics


class RightBatchNorm(nn.Module):
    """Right, in small methods, so that each mutant changes one of them."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def uses_the_batch(self):
        return self.training

    def updates(self):
        return self.training

    def statistics(self, x):
        return two_pass(fold(x, "batch"))

    def unbiased(self, variance, size):
        return variance * size / (size - 1)

    def moved(self, old, new):
        return (1 - self.momentum) * old + self.momentum * new

    def update(self, mean, variance, size):
        mean, variance = mean.detach(), variance.detach()
        self.running_mean = self.moved(self.running_mean, mean)
        self.running_var = self.moved(self.running_var, self.unbiased(variance, size))

    def normalised(self, x, mean, variance):
        return unfold(finish(fold(x, "batch"), mean, variance, self.eps), x.shape, "batch")

    def forward(self, x):
        if self.updates():
            mean, variance = self.statistics(x)
            self.update(mean, variance, x.numel() // x.shape[1])
        if self.uses_the_batch():
            mean, variance = self.statistics(x)
        else:
            mean, variance = self.running_mean, self.running_var
        return affine(self.normalised(x, mean, variance), self.weight, self.bias, 1)


class BiasedRunningVariance(RightBatchNorm):
    def unbiased(self, variance, size):
        return variance


class UnbiasedForward(RightBatchNorm):
    def statistics(self, x):
        return unbiased(fold(x, "batch"))

    def unbiased(self, variance, size):
        return variance


class StatisticsWithoutGradient(RightBatchNorm):
    def statistics(self, x):
        return without_gradient(fold(x, "batch"))


class DifferenceOfMeans(RightBatchNorm):
    def statistics(self, x):
        return difference_of_means(fold(x, "batch"))


class ModeFromGradient(RightBatchNorm):
    """Takes training for what happens where gradients are recorded."""

    def uses_the_batch(self):
        return torch.is_grad_enabled()

    updates = uses_the_batch


class BatchFromGradientInTraining(RightBatchNorm):
    """Right in eval mode, but training under no_grad counts as evaluation."""

    def uses_the_batch(self):
        return self.training and torch.is_grad_enabled()

    updates = uses_the_batch


class RunningInTraining(RightBatchNorm):
    def uses_the_batch(self):
        return False


class BatchInEval(RightBatchNorm):
    def uses_the_batch(self):
        return True


class UpdatedInEval(RightBatchNorm):
    def forward(self, x):
        y = super().forward(x)
        if not self.training and x[:, 0].numel() > 1:
            self.update(*self.statistics(x), x.numel() // x.shape[1])
        return y


class NeverUpdated(RightBatchNorm):
    def updates(self):
        return False


class InvertedMomentum(RightBatchNorm):
    def moved(self, old, new):
        return self.momentum * old + (1 - self.momentum) * new


class InvertedAndBiased(InvertedMomentum):
    def unbiased(self, variance, size):
        return variance


class FixedMomentum(RightBatchNorm):
    def moved(self, old, new):
        return 0.9 * old + 0.1 * new


class Replaced(RightBatchNorm):
    def moved(self, old, new):
        return new


class OldNotScaled(RightBatchNorm):
    def moved(self, old, new):
        return old + self.momentum * new


class RunningDeviation(RightBatchNorm):
    def unbiased(self, variance, size):
        return super().unbiased(variance, size).sqrt()


class EpsInRunningVariance(RightBatchNorm):
    def unbiased(self, variance, size):
        return super().unbiased(variance, size) + self.eps


class GraphKept(RightBatchNorm):
    def update(self, mean, variance, size):
        self.running_mean = self.moved(self.running_mean, mean)
        self.running_var = self.moved(self.running_var, self.unbiased(variance, size))


class FixedBatchSize(RightBatchNorm):
    """The size of S written as a number: right for the first batch only."""

    def unbiased(self, variance, size):
        return variance * 60 / 59


class NoBuffers(RightBatchNorm):
    """Running statistics as plain attributes."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        del self.running_mean, self.running_var
        self.running_mean = torch.zeros(channels, dtype=torch.float64)
        self.running_var = torch.ones(channels, dtype=torch.float64)


class OtherNames(nn.Module):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, momentum)

    def forward(self, x):
        return self.norm(x)


class EpsOutsideInEval(RightBatchNorm):
    def normalised(self, x, mean, variance):
        if self.training:
            return super().normalised(x, mean, variance)
        rows = eps_outside(fold(x, "batch"), mean, variance, self.eps)
        return unfold(rows, x.shape, "batch")


class EpsMissingInEval(RightBatchNorm):
    def normalised(self, x, mean, variance):
        if self.training:
            return super().normalised(x, mean, variance)
        return unfold(eps_missing(fold(x, "batch"), mean, variance, 0), x.shape, "batch")


class StatisticsOfImages(RightBatchNorm):
    """Wrong axes: over (C, H, W)."""

    def normalised(self, x, mean, variance):
        return norm_answer("image", affine=no_affine)(x, None, None, self.eps)


class ScalarAffine(RightBatchNorm):
    def forward(self, x):
        weight, bias = self.weight, self.bias
        y = self.normalised(x, *self.statistics(x))
        return scalar_affine(y, weight, bias, 1)


class ChangesItsInput(RightBatchNorm):
    def forward(self, x):
        y = super().forward(x)
        x -= x.mean()
        return y


BATCH_NORMS = [
    ("biased running_var", BiasedRunningVariance, ("takes the unbiased variance",)),
    ("unbiased variance in forward", UnbiasedForward, ("variance is the unbiased one",)),
    (
        "statistics without gradient",
        StatisticsWithoutGradient,
        ("passes on no gradient", "pass on no gradient"),
    ),
    ("E[x²] − E[x]²", DifferenceOfMeans, ("E[x²] − E[x]²",)),
    (
        "train mode guessed from gradient mode",
        ModeFromGradient,
        ("guessed from the gradient mode",),
    ),
    (
        "train mode needs gradient mode too",
        BatchFromGradientInTraining,
        ("guessed from the gradient mode",),
    ),
    ("running statistics used in training", RunningInTraining, ("normalised with the running",)),
    ("batch statistics used in eval", BatchInEval, ("batch's own statistics are used",)),
    ("running statistics updated in eval", UpdatedInEval, ("updated in eval mode",)),
    ("running statistics never updated", NeverUpdated, ("does not move",)),
    ("momentum inverted", InvertedMomentum, ("momentum is inverted",)),
    ("momentum inverted, biased running_var", InvertedAndBiased, ("momentum is inverted",)),
    ("momentum fixed", FixedMomentum, ("fixed at 0.1",)),
    ("running statistics replaced", Replaced, ("the old value counts too",)),
    ("old running statistics not scaled", OldNotScaled, ("scaled by 1 − momentum",)),
    ("running standard deviation", RunningDeviation, ("standard deviation",)),
    ("eps in running_var", EpsInRunningVariance, ("eps does not belong",)),
    ("graph kept in the running statistics", GraphKept, ("no_grad", "detach")),
    ("size of S as a number", FixedBatchSize, ("running_var",)),
    ("running statistics are no buffers", NoBuffers, ("register_buffer",)),
    ("other names", OtherNames, ("keep the stub's __init__",)),
    ("eps outside the root in eval", EpsOutsideInEval, ("outside the root in eval",)),
    ("eps missing in eval", EpsMissingInEval, ("missing in eval",)),
    ("wrong axes", StatisticsOfImages, ("over C, H and W;",)),
    ("gamma and beta of channel 0 for all", ScalarAffine, ("each channel c has its own",)),
    ("input changed in place", ChangesItsInput, ("in place",)),
]


# Predictions

_MEAN, _VAR = 0.4, 0.9 + 2 / 3
PREDICTIONS = [
    ("momentum inverted", "batch", (3.6, _VAR, -1.34, 0.48), ("momentum is inverted",)),
    ("biased running_var", "batch", (_MEAN, 1.4, -1.34, 0.48), ("takes the unbiased variance",)),
    ("running_var starts at 0", "batch", (_MEAN, 0.667, -1.34, 0.48), ("starts at 1",)),
    ("replaced", "batch", (4, 20 / 3, -1.34, 0.48), ("the old value counts too",)),
    ("unbiased forward", "batch", (_MEAN, _VAR, -1.16, 0.48), ("is the unbiased one",)),
    ("no root", "batch", (_MEAN, _VAR, -0.6, 0.48), ("square root",)),
    ("eval like train", "batch", (_MEAN, _VAR, -1.34, -1.34), ("running statistics",)),
    ("fresh running statistics", "batch", (_MEAN, _VAR, -1.34, 1), ("moved",)),
    ("too few numbers", "batch", (_MEAN, _VAR), ("running_mean",)),
    ("2G parameters", "group", (32, 2048, 8), ("not shared within a group",)),
    ("statistics of the batch", "group", (4, 2048, 64), ("never mixes images",)),
    ("batch in S", "group", (32, 16384, 64), ("one image only",)),
    ("one channel in S", "group", (32, 256, 64), ("8 channels",)),
    ("groups in S", "group", (32, 1024, 64), ("number of groups",)),
    ("parameters of LN([C,H,W])", "group", (32, 2048, 16384), ("nn.LayerNorm",)),
    ("scalars", "layer", (2, 32, 32, 512), ("not scalars",)),
    ("per channel", "layer", (32, 32, 32, 512), ("every position",)),
    ("one group, one gamma", "layer", (2048, 32, 2, 512), ("each channel a gamma",)),
    ("one image", "layer", (2048, 32, 32, 64), ("batch holds 8",)),
    ("a mean an image", "layer", (2048, 32, 32, 8), ("every pixel",)),
    ("no number", "layer", (2048, 32, 32, "many"), ("give a number",)),
]
PREDICTION_CHECKS = {
    "batch": checks.check_batch_norm_prediction,
    "group": checks.check_group_norm_prediction,
    "layer": checks.check_layer_norm_prediction,
}


# All of them


def _as_asked(layout, answer):
    return layer_answer(answer) if layout == "image" else answer


MUTANTS: list[Mutant] = [
    *(
        Mutant(name, check, statistics_answer(layout, mistake), words)
        for name, mistake, words in WRONG_STATISTICS
        for layout, check in STATISTICS.items()
    ),
    *(
        Mutant(
            f"wrong S: {wrong}", check, statistics_answer(wrong, asked=layout), WORDS_OF_SETS[wrong]
        )
        for layout, check in STATISTICS.items()
        for wrong in WRONG_SETS[layout]
    ),
    *(
        Mutant(
            name, NORMS[layout], _as_asked(layout, norm_answer(layout, statistics=mistake)), words
        )
        for name, mistake, words in WRONG_STATISTICS
        for layout in NORMS
    ),
    *(
        Mutant(name, NORMS[layout], _as_asked(layout, norm_answer(layout, finish=mistake)), words)
        for name, mistake, words in WRONG_ENDS
        for layout in NORMS
    ),
    *(
        Mutant(name, NORMS[layout], _as_asked(layout, norm_answer(layout, affine=mistake)), words)
        for name, mistake, words in WRONG_AFFINES
        for layout in NORMS
    ),
    *(
        Mutant(
            f"wrong S: {wrong}",
            NORMS[layout],
            _as_asked(layout, norm_answer(wrong, asked=layout)),
            WORDS_OF_SETS[wrong],
        )
        for layout in NORMS
        for wrong in WRONG_SETS[layout]
    ),
    *SINGLE,
    *(Mutant(n, checks.check_layer_norm, cls, words) for n, cls, words in LAYER_NORMS),
    *(Mutant(n, checks.check_batch_norm_layer, cls, words) for n, cls, words in BATCH_NORMS),
    *(
        Mutant(name, PREDICTION_CHECKS[lesson], lambda numbers=numbers: numbers, words)
        for name, lesson, numbers, words in PREDICTIONS
    ),
]


# Right answers, written differently


def by_einsum(rows):
    mean = torch.einsum("sk->s", rows) / rows.shape[1]
    centred = rows - mean[:, None]
    return mean, torch.einsum("sk,sk->s", centred, centred) / rows.shape[1]


def by_var_mean(rows):
    variance, mean = torch.var_mean(rows, 1, correction=0)
    return mean, variance


def by_old_var(rows):
    return rows.mean(1), rows.var(1, unbiased=False)


def by_corrected_var(rows):
    size = rows.shape[1]
    return rows.mean(1), rows.var(1) * (size - 1) / size


def by_std(rows):
    return torch.mean(rows, -1), torch.std(rows, -1, correction=0) ** 2


def by_loops(rows):
    means, variances = [], []
    for row in rows:
        mean = sum(value for value in row) / len(row)
        means.append(mean)
        variances.append(sum((value - mean) ** 2 for value in row) / len(row))
    return torch.stack(means), torch.stack(variances)


def by_filling(rows):
    mean, variance = rows.new_zeros(len(rows)), torch.zeros_like(rows[:, 0])
    for k in range(len(rows)):
        mean[k] = rows[k].mean()
        variance[k] = ((rows[k] - mean[k]) ** 2).mean()
    return mean, variance


def in_float64(rows):
    """The difference of two means is fine with digits to spare."""
    double = rows.double()
    mean = double.mean(1)
    variance = (double * double).mean(1) - mean * mean
    return mean.to(rows.dtype), variance.to(rows.dtype)


def by_shift(rows):
    """E[d²] − E[d]² of the distance d from the first value loses nothing."""
    first = rows[:, :1]
    distance = rows - first
    mean = distance.mean(1)
    return mean + first[:, 0], (distance * distance).mean(1) - mean * mean


STATISTICS_VARIANTS = [
    two_pass,
    by_einsum,
    by_var_mean,
    by_old_var,
    by_corrected_var,
    by_std,
    by_loops,
    by_filling,
    in_float64,
    by_shift,
]


def finish_with_power(rows, mean, variance, eps):
    return (rows - mean[:, None]) * (variance[:, None] + eps).pow(-0.5)


def finish_with_rsqrt(rows, mean, variance, eps):
    return torch.einsum("sk,s->sk", rows - mean[:, None], torch.rsqrt(variance + eps))


def finish_as_line(rows, mean, variance, eps):
    """A line a · x + b, a and b from the statistics around a value of the set."""
    centre = rows[:, :1]
    scale = 1 / torch.sqrt(variance + eps)
    return (rows - centre) * scale[:, None] + ((centre[:, 0] - mean) * scale)[:, None]


def affine_by_einsum(y, gamma, beta, groups):
    if gamma.dim() == 3:
        return torch.einsum("nchw,chw->nchw", y, gamma) + beta
    return torch.einsum("nchw,c->nchw", y, gamma) + beta.view(1, -1, 1, 1)


def affine_by_last_axis(y, gamma, beta, groups):
    if gamma.dim() == 3:
        return torch.addcmul(beta, y, gamma)
    return (y.permute(0, 2, 3, 1) * gamma + beta).permute(0, 3, 1, 2)


def batch_norm_of_torch(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, gamma, beta, True, 0.1, eps)


def batch_norm_by_channel(x, gamma, beta, eps=1e-5):
    y = torch.empty_like(x)
    for c in range(x.shape[1]):
        channel = x[:, c]
        mean = channel.mean()
        variance = ((channel - mean) ** 2).mean()
        y[:, c] = gamma[c] * (channel - mean) / torch.sqrt(variance + eps) + beta[c]
    return y


def batch_norm_in_place_on_its_own(x, gamma, beta, eps=1e-5):
    """In-place steps on a tensor of one's own are fine."""
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    y = x - mean
    y = y / (variance + eps).sqrt()
    y = y * gamma[None, :, None, None]
    y += beta[None, :, None, None]
    return y


def group_norm_by_chunks(x, groups, gamma, beta, eps=1e-5):
    parts = []
    for part in x.chunk(groups, dim=1):
        mean = part.mean((1, 2, 3), keepdim=True)
        variance = (part - mean).square().mean((1, 2, 3), keepdim=True)
        parts.append((part - mean) / (variance + eps).sqrt())
    return torch.cat(parts, 1) * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1)


def group_statistics_in_5d(x, groups):
    n, c, h, w = x.shape
    variance, mean = torch.var_mean(
        x.reshape(n, groups, c // groups, h, w), (2, 3, 4), correction=0
    )
    return mean, variance


class LayerNormOfTorch(nn.LayerNorm):
    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)


class BatchNormOfTorch(nn.BatchNorm2d):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)


class BatchNormInPlace(RightBatchNorm):
    """Moves its buffers in place."""

    @torch.no_grad()
    def update(self, mean, variance, size):
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(
            variance, alpha=self.momentum * size / (size - 1)
        )


class BatchNormByAxes(RightBatchNorm):
    """In one piece, as a learner might have it."""

    def forward(self, x):
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            with torch.no_grad():
                n = x.numel() / x.shape[1]
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        shape = (1, -1, 1, 1)
        x_hat = (x - mean.view(shape)) / (var.view(shape) + self.eps).sqrt()
        return self.weight.view(shape) * x_hat + self.bias.view(shape)


VARIANTS: list[Variant] = [
    *(
        Variant(variant.__name__, check, statistics_answer(layout, variant))
        for variant in STATISTICS_VARIANTS
        for layout, check in STATISTICS.items()
    ),
    *(
        Variant(
            variant.__name__,
            NORMS[layout],
            _as_asked(layout, norm_answer(layout, statistics=variant)),
        )
        for variant in STATISTICS_VARIANTS
        for layout in NORMS
    ),
    *(
        Variant(
            variant.__name__, NORMS[layout], _as_asked(layout, norm_answer(layout, finish=variant))
        )
        for variant in (finish_with_power, finish_with_rsqrt, finish_as_line)
        for layout in NORMS
    ),
    *(
        Variant(
            variant.__name__, NORMS[layout], _as_asked(layout, norm_answer(layout, affine=variant))
        )
        for variant in (affine_by_einsum, affine_by_last_axis)
        for layout in NORMS
    ),
    Variant("torch", checks.check_batch_norm, batch_norm_of_torch),
    Variant("channel by channel", checks.check_batch_norm, batch_norm_by_channel),
    Variant("in place on its own", checks.check_batch_norm, batch_norm_in_place_on_its_own),
    Variant("chunks", checks.check_group_norm, group_norm_by_chunks),
    Variant(
        "torch", checks.check_group_norm, lambda x, g, w, b, e=1e-5: F.group_norm(x, g, w, b, e)
    ),
    Variant("5 axes", checks.check_group_statistics, group_statistics_in_5d),
    Variant("a list", checks.check_batch_statistics, lambda x: list(by_var_mean(fold(x, "batch")))),
    Variant("torch", checks.check_layer_norm, LayerNormOfTorch),
    Variant("methods", checks.check_batch_norm_layer, RightBatchNorm),
    Variant("torch", checks.check_batch_norm_layer, BatchNormOfTorch),
    Variant("buffers in place", checks.check_batch_norm_layer, BatchNormInPlace),
    Variant("one piece", checks.check_batch_norm_layer, BatchNormByAxes),
    Variant("rounded", checks.check_batch_norm_prediction, lambda: (0.4, 1.57, -1.34, 0.48)),
    Variant("a list", checks.check_group_norm_prediction, lambda: [32, 8 * 16 * 16, 64]),
    Variant(
        "tensors", checks.check_layer_norm_prediction, lambda: torch.tensor([2048, 32, 32, 512])
    ),
]
