"""Wrong answers of a rarer kind: parts of S, moved sets, another eps, other running statistics."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, affine, layer_answer
from common.tests.exercises.layer_mutants import RightBatchNorm

BATCH, GROUP, CHANNELS = checks.check_batch_norm, checks.check_group_norm, checks.check_channel_norm
TOKENS, RMS = checks.check_token_norm, checks.check_rms_norm
GROUP_STATISTICS, IMAGES = checks.check_group_statistics, checks.check_layer_statistics

# Statistics of parts of S, or that reach other sets


def normal(x, of, axes, eps):
    """x normalised with the statistics of something else."""
    variance, mean = torch.var_mean(of, axes, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def of_some_images(part):
    def answer(x, gamma, beta, eps=1e-5):
        return affine(normal(x, x[part], (0, 2, 3), eps), gamma, beta, 1)

    return answer


def of_some_channels(part):
    def answer(x, groups):
        cut = x.reshape(len(x), groups, -1, *x.shape[2:])[:, :, part]
        return cut.mean((2, 3, 4)), cut.var((2, 3, 4), correction=0)

    return answer


def to_other_channels(statistic, x):
    return statistic.repeat(1, x.shape[1] // statistic.shape[1])[:, :, None, None]


def to_own_channels(statistic, x):
    return statistic.repeat_interleave(x.shape[1] // statistic.shape[1], 1)[:, :, None, None]


def handed_out(mean_by, variance_by):
    def answer(x, groups, gamma, beta, eps=1e-5):
        variance, mean = torch.var_mean(x.reshape(len(x), groups, -1), 2, correction=0)
        root = torch.sqrt(variance_by(variance, x) + eps)
        return affine((x - mean_by(mean, x)) / root, gamma, beta, groups)

    return answer


def around_repeated_means(x, groups):
    mean = x.reshape(len(x), groups, -1).mean(2)
    squares = (x - to_other_channels(mean, x)).square()
    return mean, squares.reshape(len(x), groups, -1).mean(2)


def around_the_mean_of_all(x):
    shifted = x - x.mean()
    squares = shifted.square().mean((1, 2, 3))
    return x.mean((1, 2, 3)), squares - shifted.mean((1, 2, 3)).square()


def mean_subtracted_twice(x):
    mean = x.mean((1, 2, 3))
    centred = x - mean[:, None, None, None]
    return mean, centred.square().mean((1, 2, 3)) - mean.square()


def cut_with_the_channels_last(x, groups, gamma, beta, eps=1e-5):
    last = x.permute(0, 2, 3, 1)
    parts = last.reshape(len(x), groups, -1)
    return affine(
        normal(parts, parts, 2, eps).reshape(last.shape).permute(0, 3, 1, 2), gamma, beta, 1
    )


def joined_along_images(x, groups, gamma, beta, eps=1e-5):
    parts = [normal(part, part, (1, 2, 3), eps) for part in x.chunk(groups, 1)]
    return affine(torch.cat(parts).reshape(x.shape), gamma, beta, groups)


def stacked_along_images(x, gamma, beta, eps=1e-5):
    channels = [normal(x[:, c], x[:, c], (0, 1, 2), eps) for c in range(x.shape[1])]
    return torch.stack([g * y + b for g, y, b in zip(gamma, channels, beta, strict=True)])


def axis_by_axis(x, axes, eps=1e-5):
    for axis in axes:
        x = normal(x, x, axis, eps)
    return x


def averaged_pixels(x, gamma, beta, eps=1e-5):
    return affine(normal(x, x.mean((2, 3), keepdim=True), 1, eps), gamma, beta, 1)


def averaged_tokens(x, gamma, beta, eps=1e-5):
    return gamma * normal(x, x.mean(1, keepdim=True), 2, eps) + beta


def rows_of_channels(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[1])
    return gamma * normal(rows, rows, 1, eps).reshape(x.shape) + beta


def variances_in_turn(x, axes, eps=1e-5):
    variance = x
    for axis in axes:
        variance = variance.var(axis, keepdim=True, correction=0)
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(variance + eps)


def variances_from_the_last(x):
    return x.mean((0, 2, 3)), x.var(3).var(2).var(0)


def variance_over_n_of_others(x):
    rows = x.flatten(2)
    return rows.mean(2).mean(0), rows.var(2, correction=0).var(0, correction=0)


def divided_by_all_values(x, axes, eps=1e-5):
    mean = x.sum(axes, keepdim=True) / x.numel()
    squares = (x - mean).square().sum(axes, keepdim=True)
    return (x - mean) / torch.sqrt(squares / x.numel() + eps)


def of_shifted_values(shift):
    def answer(x):
        centred = x - shift(x)
        return centred.mean((1, 2, 3)), centred.var((1, 2, 3), correction=0)

    return answer


# Eps, gamma and beta


def with_root(root):
    def answer(x, axes, eps=1e-5):
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / root(variance, eps)

    return answer


def rms_of_sums(divisor):
    def answer(x, weight, eps=1e-5):
        return weight * x / divisor(x.square().sum(2, keepdim=True), x.shape[2], eps)

    return answer


def eps_in_x(x, weight, eps=1e-5):
    return weight * x / (x + eps).square().mean(2, keepdim=True).sqrt()


def in_half(x, weight, eps=1e-5):
    half = x.half()
    return weight * (half * torch.rsqrt(half.square().mean(2, keepdim=True) + eps)).to(x.dtype)


def gamma_before_the_norm(x, groups, gamma, beta, eps=1e-5):
    scaled = x * gamma[:, None, None]
    return F.group_norm(scaled, groups, eps=eps) + beta[:, None, None]


def affine_repeated(x, gamma, beta, eps=1e-5):
    x_hat = F.batch_norm(x, None, None, training=True, eps=eps)
    many = [t.repeat(x[0, 0].numel()).reshape(x.shape[1:]) for t in (gamma, beta)]
    return many[0] * x_hat + many[1]


def own_statistics_as_running(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return F.batch_norm(x, mean, variance, gamma, beta, eps=eps)


def gradient(way):
    def answer(x, grad_y, gamma, eps):
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        root = (variance + eps).sqrt()
        return way(gamma[:, None, None] * grad_y, (x - mean) / root, root, gamma[:, None, None])

    return answer


def over_channels(values):
    return values.mean((0, 2, 3), keepdim=True)


def only_g_is_divided(g, x_hat, root, gamma):
    return g / root - over_channels(g) - x_hat * over_channels(g * x_hat)


def y_for_x_hat(g, x_hat, root, gamma):
    y = gamma * x_hat
    return (g - over_channels(g) - y * over_channels(g * y)) / root


def not_over_the_size(g, x_hat, root, gamma):
    return g[:, 0].numel() * (g - over_channels(g) - x_hat * over_channels(g * x_hat)) / root


def by_autograd(x, grad_y, gamma, eps):
    x = x.detach().requires_grad_()
    y = F.batch_norm(x, None, None, gamma, None, True, 0.1, eps)
    return torch.autograd.grad(y, x, grad_y)[0]


def by_backward(x, grad_y, gamma, eps):
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        F.batch_norm(x, None, None, gamma, None, True, 0.1, eps).backward(grad_y)
    return x.grad


def by_vjp(x, grad_y, gamma, eps):
    _, back = torch.func.vjp(lambda t: F.batch_norm(t, None, None, gamma, None, True, 0, eps), x)
    return back(grad_y)[0]


def by_func_grad(x, grad_y, gamma, eps):
    def loss(t):
        return (grad_y * F.batch_norm(t, None, None, gamma, None, True, 0, eps)).sum()

    return torch.func.grad(loss)(x)


def difference_quotient(x, grad_y, gamma, eps):
    def loss(x):
        y = F.batch_norm(x, None, None, gamma, training=True, eps=eps)
        return (y * grad_y).sum((1, 2, 3)).sum()

    result, step = torch.zeros_like(x), 0.1
    for at in range(x.numel()):
        moved = x.clone()
        moved.view(-1)[at] += step
        result.view(-1)[at] = (loss(moved) - loss(x)) / step
    return result


# Running statistics


class MovedByEachImage(RightBatchNorm):
    def forward(self, x):
        y = super().forward(x)
        if self.training:
            self.running_mean = self.before.clone()
            for image in x.detach():
                self.running_mean = self.moved(self.running_mean, image.mean((1, 2)))
        return y

    def update(self, mean, variance, size):
        self.before = self.running_mean
        super().update(mean, variance, size)


class MovedByOneNumber(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(mean.mean().expand_as(mean), variance, size)


class MovedTwice(RightBatchNorm):
    def update(self, mean, variance, size):
        old = self.running_var
        super().update(mean, variance, size)
        self.running_mean, self.running_var = self.running_mean + self.running_var - old, old


class MovedBySums(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(5 * mean, variance, size)


class ShrinkingMomentum(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(mean, variance, size)
        self.momentum *= 0.9


class RootInPlace(RightBatchNorm):
    def normalised(self, x, mean, variance):
        if self.training:
            return super().normalised(x, mean, variance)
        root = self.running_var.add_(self.eps).sqrt_()
        return (x - mean[:, None, None]) / root[:, None, None]


class InEval(RightBatchNorm):
    """In eval mode something is left out."""

    def forward(self, x):
        if self.training:
            return super().forward(x)
        return self.evaluated(x, self.running_mean, self.running_var)


class NoBetaInEval(InEval):
    def evaluated(self, x, mean, variance):
        return self.normalised(x, mean, variance) * self.weight[:, None, None]


class NoGammaInEval(InEval):
    def evaluated(self, x, mean, variance):
        return self.normalised(x, mean, variance) + self.bias[:, None, None]


class NoMeanInEval(InEval):
    def evaluated(self, x, mean, variance):
        return affine(self.normalised(x, 0 * mean, variance), self.weight, self.bias, 1)


class MeanAddedInEval(InEval):
    def evaluated(self, x, mean, variance):
        return affine(self.normalised(x, -mean, variance), self.weight, self.bias, 1)


class EpsTwiceInEval(InEval):
    def evaluated(self, x, mean, variance):
        return affine(self.normalised(x, mean, variance + self.eps), self.weight, self.bias, 1)


RARER: list[Mutant] = [
    Mutant("first image", BATCH, of_some_images(slice(0, 1)), ("the first image alone",)),
    Mutant("half of the images", BATCH, of_some_images(slice(0, 2)), ("first half along N",)),
    Mutant("every second image", BATCH, of_some_images(slice(0, None, 2)), ("every second image",)),
    Mutant("last image", BATCH, of_some_images(slice(-1, None)), ("the last image alone",)),
    Mutant("last image left out", BATCH, of_some_images(slice(0, -1)), ("all but the last",)),
    Mutant("first image left out", BATCH, of_some_images(slice(1, None)), ("all but the first",)),
    Mutant(
        "first channels", GROUP_STATISTICS, of_some_channels(slice(0, 1)), ("the first channel",)
    ),
    Mutant(
        "last channels left out", GROUP_STATISTICS, of_some_channels(slice(0, -1)), ("all but",)
    ),
    *(
        Mutant("statistics repeated", GROUP, handed_out(*by), ("channels of another group",))
        for by in [
            (to_other_channels, to_other_channels),
            (to_own_channels, to_other_channels),
            (to_other_channels, to_own_channels),
        ]
    ),
    Mutant("around repeated means", GROUP_STATISTICS, around_repeated_means, ("of another group",)),
    Mutant("around the mean of all", IMAGES, around_the_mean_of_all, ("Each set's own mean",)),
    Mutant("mean subtracted twice", IMAGES, mean_subtracted_twice, ("is subtracted twice",)),
    Mutant("cut behind C", GROUP, cut_with_the_channels_last, ("with the channels moved",)),
    Mutant("parts joined along N", GROUP, joined_along_images, ("in the wrong places",)),
    Mutant("channels stacked along N", BATCH, stacked_along_images, ("axes are in another order",)),
    Mutant("axis by axis", checks.check_normalise, axis_by_axis, ("one after the other",)),
    Mutant("variances in turn", checks.check_normalise, variances_in_turn, ("of variances",)),
    *(
        Mutant(f.__name__, checks.check_batch_statistics, f, ("of variances",))
        for f in (variances_from_the_last, variance_over_n_of_others)
    ),
    Mutant("pixels averaged first", CHANNELS, averaged_pixels, ("averaged over H and W before",)),
    Mutant("tokens averaged first", TOKENS, averaged_tokens, ("averaged over T before",)),
    Mutant(
        "reshape(−1, C)",
        checks.check_layer_norm,
        layer_answer(rows_of_channels),
        ("rows of C values",),
    ),
    Mutant(
        "divided by all values", checks.check_normalise, divided_by_all_values, ("divided by 360",)
    ),
    *(
        Mutant(name, IMAGES, of_shifted_values(shift), ("added to the mean again",))
        for name, shift in [
            ("shift lost", lambda x: x[:, :1, :1, :1]),
            ("common shift lost", torch.mean),
            ("mean lost", lambda x: x.mean((1, 2, 3), keepdim=True)),
        ]
    ),
    *(
        Mutant(name, checks.check_normalise, with_root(root), words)
        for name, root, words in [
            ("eps a factor", lambda v, eps: (v * (1 + eps)).sqrt(), ("eps is a factor",)),
            (
                "eps after the inverse",
                lambda v, eps: 1 / (1 / v.sqrt() + eps),
                ("added to 1 / sqrt(variance)",),
            ),
        ]
    ),
    *(
        Mutant(name, RMS, rms_of_sums(divisor), words)
        for name, divisor, words in [
            (
                "eps in the sum",
                lambda total, d, eps: ((total + eps) / d).sqrt(),
                ("eps is added to the sum",),
            ),
            ("norm over D", lambda total, d, eps: total.sqrt() / d + eps, ("D itself",)),
            ("over D", lambda total, d, eps: (total + eps).sqrt() / d, ("divided by D itself",)),
            (
                "norm over D, squared",
                lambda total, d, eps: ((total.sqrt() / d) ** 2 + eps).sqrt(),
                ("divided by D itself",),
            ),
            (
                "times root D",
                lambda total, d, eps: (total + eps).sqrt() * d**0.5,
                ("multiplied by D's root",),
            ),
        ]
    ),
    Mutant("eps in x", RMS, eps_in_x, ("before the square",)),
    Mutant("in float16", RMS, in_half, ("converted to float16",)),
    *(
        Mutant(
            f"{function.__name__} first",
            IMAGES,
            lambda x, f=function: torch.var_mean(f(x), (1, 2, 3), correction=0)[::-1],
            (f"goes through {function.__name__} first",),
        )
        for function in (torch.relu, torch.tanh)
    ),
    Mutant("gamma before the norm", GROUP, gamma_before_the_norm, ("normalise first, and then",)),
    Mutant("gamma and beta repeated", BATCH, affine_repeated, ("mixes the channels",)),
    Mutant("own running statistics", BATCH, own_statistics_as_running, ("for constants",)),
    *(
        Mutant(name, checks.check_batch_norm_gradient, gradient(way), words)
        for name, way, words in [
            ("over N", lambda g, x, r, _: (g - g.mean(0) - x * (g * x).mean(0)) / r, ("over N",)),
            ("no mean", lambda g, x, r, _: (g - over_channels(g) - x * x * g) / r, ("not ave",)),
            ("paths not divided", only_g_is_divided, ("g alone is divided",)),
            ("y for x̂", y_for_x_hat, ("has y where x̂ belongs",)),
            ("not over |S|", not_over_the_size, ("gradient is 60 times",)),
        ]
    ),
    *(
        Mutant(f.__name__, checks.check_batch_norm_gradient, f, ("what autograd does",))
        for f in (by_autograd, by_backward, by_vjp, by_func_grad)
    ),
    Mutant(
        "difference quotient",
        checks.check_batch_norm_gradient,
        difference_quotient,
        ("nearly right",),
    ),
    *(
        Mutant(name, checks.check_batch_norm_layer, layer, words)
        for name, layer, words in [
            ("moved by each image", MovedByEachImage, ("once for each image",)),
            ("moved by one number", MovedByOneNumber, ("one number moves all",)),
            ("running_mean twice", MovedTwice, ("meant to be running_var",)),
            ("moved by sums", MovedBySums, ("moves towards is 5 times",)),
            ("momentum shrinks", ShrinkingMomentum, ("momentum counts as",)),
            ("running_var in place", RootInPlace, ("changed in place (add_",)),
            ("no beta in eval", NoBetaInEval, ("eval mode beta is not added",)),
            ("no gamma in eval", NoGammaInEval, ("eval mode gamma is not used",)),
            ("no mean in eval", NoMeanInEval, ("running_mean is not subtracted",)),
            ("mean added in eval", MeanAddedInEval, ("running_mean is added",)),
            ("eps twice in eval", EpsTwiceInEval, ("eps counts twice",)),
        ]
    ),
    *(
        Mutant(name, checks.check_group_norm_prediction, lambda n=number: (n, 2048, 64), words)
        for name, number, words in [
            ("a mean for each pixel", 8192, ("pixels have no mean",)),
            ("images plus groups", 12, ("a product, not a sum",)),
        ]
    ),
    *(
        Mutant(name, checks.check_batch_norm_prediction, lambda n=numbers: n, words)
        for name, numbers, words in [
            ("one more", (0.4, 1.3, -1.34, 0.53), ("one less, not one more",)),
            ("momentum 0.01", (0.04, 1.06, -1.34, 0.93), ("not 0.01",)),
        ]
    ),
]
