"""Right answers, written in ways that nobody who wrote a check thought of."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import (
    Variant,
    fold,
    norm_answer,
    statistics_answer,
    two_pass,
)
from common.tests.exercises.clinic_mutants import REPAIRED
from common.tests.exercises.half_repaired_mutants import REPAIRED_TOO
from common.tests.exercises.layer_mutants import BatchNormInPlace, RightBatchNorm
from common.tests.exercises.mutants import NORMS, STATISTICS, as_asked
from common.tests.exercises.opening_mutants import VARIANTS as OPENING


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
        mean = sum(part.sum() for part in row.split(5)) / len(row)
        means.append(mean)
        variances.append(sum(((part - mean) ** 2).sum() for part in row.split(5)) / len(row))
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
    if y.dim() == 3:
        return torch.einsum("btd,d->btd", y, gamma) + beta
    return torch.einsum("nchw,c->nchw", y, gamma) + beta.view(1, -1, 1, 1)


def affine_by_last_axis(y, gamma, beta, groups):
    if gamma.dim() == 3 or y.dim() == 3:
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


def rms_by_norm(x, weight, eps=1e-5):
    size = x.shape[-1]
    return weight * x / (x.norm(dim=-1, keepdim=True) ** 2 / size + eps).sqrt()


def rms_by_einsum(x, weight, eps=1e-5):
    square = torch.einsum("btd,btd->bt", x, x) / x.size(2)
    return torch.einsum("btd,bt,d->btd", x, torch.rsqrt(square + eps), weight)


def rms_by_tokens(x, weight, eps=1e-5):
    return torch.stack(
        [torch.stack([t * torch.rsqrt((t @ t) / len(t) + eps) for t in text]) for text in x]
    ) * weight.reshape(1, 1, -1)


def gradient_in_one_fraction(x, grad_y, gamma, eps):
    """As in the paper on efficient backward passes: everything over |S|."""
    size = x.numel() // x.shape[1]
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    x_hat = (x - mean) * torch.rsqrt(variance + eps)
    g = grad_y * gamma[None, :, None, None]
    total = g.sum((0, 2, 3), keepdim=True)
    return (size * g - total - x_hat * (g * x_hat).sum((0, 2, 3), keepdim=True)) / (
        size * (variance + eps).sqrt()
    )


def gradient_step_by_step(x, grad_y, gamma, eps):
    """Each path on its own, as in the paper of 2015."""
    size = x.numel() / x.shape[1]
    mean = x.mean((0, 2, 3))[:, None, None]
    centred = x - mean
    variance = centred.square().mean((0, 2, 3))[:, None, None]
    grad_hat = grad_y * gamma[:, None, None]
    power = (variance + eps) ** -1.5
    grad_variance = (grad_hat * centred * -0.5 * power).sum((0, 2, 3))[:, None, None]
    grad_mean = (-grad_hat / (variance + eps).sqrt()).sum((0, 2, 3))[:, None, None]
    return (
        grad_hat / (variance + eps).sqrt() + grad_variance * 2 * centred / size + grad_mean / size
    )


def debug_prints(x):
    """What people print while they work."""
    history = []
    mean, variance = two_pass(fold(x, "batch"))
    history.append(mean.tolist())
    print(f"{mean[0]:.2f}", mean.detach().cpu().numpy(), variance, variance.max().item(), history)
    return mean, variance


class DebugLayer(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        print("a layer of", channels)

    def forward(self, x):
        print("x", x.detach().cpu().numpy().shape, self.running_mean.tolist(), x.mean().item())
        return super().forward(x)


def in_float64_and_back(x):
    large = x.double()
    mean = large.mean((1, 2, 3))
    variance = large.square().mean((1, 2, 3)) - mean.square()
    return mean.to(x.dtype), variance.to(x.dtype)


def eps_as_a_tensor(x, gamma, beta, eps):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    y = (x - mean) / torch.sqrt(variance + torch.tensor(eps))
    return gamma[:, None, None] * y + beta[:, None, None]


VARIANTS: list[Variant] = [
    *REPAIRED,
    Variant(
        "vmap",
        checks.check_layer_statistics,
        lambda x: (torch.vmap(torch.mean)(x), torch.vmap(lambda i: i.var(correction=0))(x)),
    ),
    Variant("in float64 and back", checks.check_layer_statistics, in_float64_and_back),
    Variant("eps as a tensor", checks.check_batch_norm, eps_as_a_tensor),
    Variant("an iterator", checks.check_group_norm_prediction, lambda: iter([32, 2048, 64])),
    *(
        Variant(f.__name__, checks.check_rms_norm, f)
        for f in (rms_by_norm, rms_by_einsum, rms_by_tokens)
    ),
    Variant("torch", checks.check_rms_norm, lambda x, w, e=None: F.rms_norm(x, w.shape, w, e)),
    *(
        Variant(f.__name__, checks.check_batch_norm_gradient, f)
        for f in (
            gradient_in_one_fraction,
            gradient_step_by_step,
        )
    ),
    Variant("debug prints", checks.check_batch_statistics, debug_prints),
    Variant("debug prints", checks.check_batch_norm_layer, DebugLayer),
    Variant(
        "stacked",
        checks.check_batch_statistics,
        lambda x: torch.stack(two_pass(fold(x, "batch"))),
    ),
    *(
        Variant(name, checks.check_batch_norm_prediction, lambda numbers=numbers: numbers)
        for name, numbers in [
            ("an array", np.array([0.4, 1.567, -1.342, 0.479])),
            ("numpy's numbers", list(np.float32([0.4, 1.567, -1.342, 0.479]))),
            ("a dict", {"mean": 0.4, "var": 1.567, "train": -1.342, "eval": 0.479}),
            ("a nest", ((0.4, 1.567), [-1.342, torch.tensor(0.479)])),
            ("a typographic minus", ("0.4", "1.57", "−1.34", "0.48")),
            ("decimal commas", ("0,4", "1,57", "−1,34", "0,48")),
        ]
    ),
    Variant("thousands", checks.check_group_norm_prediction, lambda: (32, "2,048", 64.0)),
    *(
        Variant(variant.__name__, check, statistics_answer(layout, variant))
        for variant in STATISTICS_VARIANTS
        for layout, check in STATISTICS.items()
    ),
    *(
        Variant(
            variant.__name__,
            NORMS[layout],
            as_asked(layout, norm_answer(layout, statistics=variant)),
        )
        for variant in STATISTICS_VARIANTS
        for layout in NORMS
    ),
    *(
        Variant(
            variant.__name__, NORMS[layout], as_asked(layout, norm_answer(layout, finish=variant))
        )
        for variant in (finish_with_power, finish_with_rsqrt, finish_as_line)
        for layout in NORMS
    ),
    *(
        Variant(
            variant.__name__, NORMS[layout], as_asked(layout, norm_answer(layout, affine=variant))
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
    *OPENING,
    *REPAIRED_TOO,
    Variant("powers", checks.check_depth_prediction, lambda: (2**20, 1, 2)),
    Variant("written out", checks.check_depth_prediction, lambda: ["1,048,576", 1.0, "2"]),
    Variant("rounded", checks.check_batch_norm_prediction, lambda: (0.4, 1.57, -1.34, 0.48)),
    Variant(
        "values of a dict",
        checks.check_group_norm_prediction,
        lambda: {"means": 32, "values": 2048, "parameters": 64}.values(),
    ),
    Variant("a list", checks.check_group_norm_prediction, lambda: [32, 8 * 16 * 16, 64]),
    Variant(
        "tensors", checks.check_layer_norm_prediction, lambda: torch.tensor([2048, 32, 32, 512])
    ),
]
