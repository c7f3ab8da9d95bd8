"""The parts that answers to the exercises are put together from, right and wrong.

So each mistake meets every exercise it concerns: `fold` brings the values of every set S into one
row, whatever the norm, and the parts below work on such rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


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
    """The values of x (N, C, H, W) as rows, one for each set S of the norm; of tokens (B, T, D)."""
    if layout == "tokens":
        return x.reshape(-1, x.shape[-1])
    if layout == "sequence":  # over T
        return x.transpose(1, 2).reshape(-1, x.shape[1])
    if layout == "all tokens":  # over B and T
        return x.movedim(-1, 0).reshape(x.shape[-1], -1)
    if layout == "text":  # over T and D
        return x.reshape(len(x), -1)
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
    if layout == "sequence":
        return rows.reshape(shape[0], shape[2], shape[1]).transpose(1, 2)
    if layout == "all tokens":
        return rows.reshape(shape[2], shape[0], shape[1]).movedim(0, -1)
    if len(shape) == 3:
        return rows.reshape(shape)
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


def in_float64_out(rows):
    mean, variance = two_pass(rows.double())
    return mean, variance


def absolute_deviation(rows):
    mean = rows.mean(1)
    return mean, (rows - mean[:, None]).abs().mean(1)


def root_squared(rows):
    """Right in value; but the gradient of the root of 0 is infinite."""
    mean, variance = two_pass(rows)
    return mean, torch.sqrt(variance) ** 2


def scaled_squares(rows):
    """Right, but 0/0 where all values are equal."""
    mean = rows.mean(1)
    largest = (rows - mean[:, None]).abs().amax(1)
    return mean, largest**2 * ((rows - mean[:, None]) / largest[:, None]).pow(2).mean(1)


KEPT = {}


def kept_between_calls(rows):
    """The statistics of the first call of this shape and dtype, for ever."""
    key = (*rows.shape, rows.dtype, rows.requires_grad)
    if len(KEPT) > 50:
        KEPT.clear()
    return KEPT.setdefault(key, two_pass(rows))


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


def eps_twice(rows, mean, variance, eps):
    return (rows - mean[:, None]) / (torch.sqrt(variance + eps) + eps)[:, None]


def eps_doubled(rows, mean, variance, eps):
    return finish(rows, mean, variance + eps, eps)


def eps_after(rows, mean, variance, eps):
    return (rows - mean[:, None]) / torch.sqrt(variance)[:, None] + eps


def eps_squared(rows, mean, variance, eps):
    return finish(rows, mean, variance, eps**2)


def no_brackets(rows, mean, variance, eps):
    return rows - mean[:, None] / torch.sqrt(variance + eps)[:, None]


def wrong_sign(rows, mean, variance, eps):
    return -finish(rows, mean, variance, eps)


def mean_added(rows, mean, variance, eps):
    return finish(rows, -mean, variance, eps)


def only_centred(rows, mean, variance, eps):
    return rows - mean[:, None]


def multiplied(rows, mean, variance, eps):
    return (rows - mean[:, None]) * torch.sqrt(variance + eps)[:, None]


def clamped(rows, mean, variance, eps):
    return finish(rows, mean, variance, eps).clamp(-1, 1)


def per_channel(values, y):
    return values[:, None, None] if values.dim() == 1 and y.dim() == 4 else values


def affine(y, gamma, beta, groups):
    return per_channel(gamma, y) * y + per_channel(beta, y)


def no_affine(y, gamma, beta, groups):
    return y


def no_scale(y, gamma, beta, groups):
    return y + per_channel(beta, y)


def no_shift(y, gamma, beta, groups):
    return per_channel(gamma, y) * y


def shift_first(y, gamma, beta, groups):
    return per_channel(gamma, y) * (y + per_channel(beta, y))


def swapped_affine(y, gamma, beta, groups):
    return per_channel(beta, y) * y + per_channel(gamma, y)


def scalar_affine(y, gamma, beta, groups):
    return gamma.flatten()[0] * y + beta.flatten()[0]


def average_affine(y, gamma, beta, groups):
    return gamma.mean() * y + beta.mean()


def average_gamma(y, gamma, beta, groups):
    return gamma.mean() * y + per_channel(beta, y)


def beta_subtracted(y, gamma, beta, groups):
    return affine(y, gamma, -beta, groups)


def one_plus_gamma(y, gamma, beta, groups):
    return affine(y, 1 + gamma, beta, groups)


def divided_by_gamma(y, gamma, beta, groups):
    return affine(y, 1 / gamma, beta, groups)


def absolute_gamma(y, gamma, beta, groups):
    return affine(y, gamma.abs(), beta, groups)


def relu_gamma(y, gamma, beta, groups):
    return affine(y, gamma.relu(), beta, groups)


def clamped_output(y, gamma, beta, groups):
    return affine(y, gamma, beta, groups).clamp(-30, 30)


def relu_output(y, gamma, beta, groups):
    return affine(y, gamma, beta, groups).relu()


def double_output(y, gamma, beta, groups):
    return affine(y, gamma, beta, groups).double()


def channels_last_output(y, gamma, beta, groups):
    """The axes of the output in another order."""
    return affine(y, gamma, beta, groups).transpose(1, -1)


def flat_output(y, gamma, beta, groups):
    return affine(y, gamma, beta, groups).reshape(len(y), -1)


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


def affine_first(layout):
    """Scaled and shifted before the norm, which undoes it."""
    right = norm_answer(layout, affine=no_affine)
    if layout == "group":
        return lambda x, groups, gamma, beta, eps: right(
            affine(x, gamma, beta, groups), groups, gamma, beta, eps
        )
    return lambda x, gamma, beta, eps: right(affine(x, gamma, beta, 1), gamma, beta, eps)


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
