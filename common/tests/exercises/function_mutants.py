"""Wrong answers that are functions of their own: reshapes, gradients by hand, RMSNorm."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, affine, layer_answer

# Axes moved, mixed or cut the wrong way


def normal(rows, eps, axis=1):
    variance, mean = torch.var_mean(rows, axis, correction=0, keepdim=True)
    return (rows - mean) / torch.sqrt(variance + eps)


def rows_without_moving(x, gamma, beta, eps=1e-5):
    return affine(normal(x.reshape(x.shape[1], -1), eps).reshape(x.shape), gamma, beta, 1)


def transpose_not_undone(x, gamma, beta, eps=1e-5):
    rows = normal(x.transpose(0, 1).reshape(x.shape[1], -1), eps)
    return affine(rows.reshape(x.shape), gamma, beta, 1)


def pixels_without_moving(x, gamma, beta, eps=1e-5):
    return affine(normal(x.reshape(-1, x.shape[1]), eps).reshape(x.shape), gamma, beta, 1)


def permute_not_undone(x, gamma, beta, eps=1e-5):
    rows = normal(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]), eps)
    return affine(rows.reshape(x.shape), gamma, beta, 1)


def channels_stay_last(x, gamma, beta, eps=1e-5):
    return F.layer_norm(x.permute(0, 2, 3, 1), gamma.shape, gamma, beta, eps)


def statistics_without_moving(x):
    rows = x.reshape(x.shape[1], -1)
    return rows.mean(1), rows.var(1, correction=0)


def groups_are_a_size(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    y = normal(x.reshape(n, c // groups, groups, h, w), eps, (2, 3, 4))
    return affine(y.reshape(x.shape), gamma, beta, groups)


def groups_of_the_batch(x, groups, gamma, beta, eps=1e-5):
    return affine(normal(x.reshape(groups, -1), eps).reshape(x.shape), gamma, beta, groups)


def chunks_along(axis):
    def answer(x, groups, gamma, beta, eps=1e-5):
        parts = [normal(part, eps, (1, 2, 3)) for part in x.chunk(groups, axis)]
        return affine(torch.cat(parts, axis), gamma, beta, groups)

    return answer


def height_cut(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    y = normal(x.reshape(n, c, groups, h // groups, w), eps, (1, 3, 4))
    return affine(y.reshape(x.shape), gamma, beta, groups)


def five_axes_returned(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    shape = (n, groups, c // groups, h, w)
    y = normal(x.reshape(shape), eps, (2, 3, 4)).reshape(x.shape)
    return affine(y, gamma, beta, groups).reshape(shape)


def affine_in_five_axes(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    y = normal(x.reshape(n, groups, c // groups, h, w), eps, (2, 3, 4))
    return gamma.view(1, -1, 1, 1) * y + beta.view(1, -1, 1, 1)


def group_sizes(x, groups):
    n, c, h, w = x.shape
    variance, mean = torch.var_mean(
        x.reshape(n, c // groups, groups, h, w), (2, 3, 4), correction=0
    )
    return mean, variance


def group_chunks_of_height(x, groups):
    parts = [torch.var_mean(p, (1, 2, 3), correction=0)[::-1] for p in x.chunk(groups, 2)]
    return tuple(torch.stack(part, 1) for part in zip(*parts, strict=True))


def group_variances_averaged(x, groups):
    n, c, h, w = x.shape
    grouped = x.reshape(n, groups, c // groups, h, w)
    return grouped.mean((2, 3, 4)), grouped.var((3, 4), correction=0).mean(2)


def image_variances_averaged(x):
    return x.mean((0, 2, 3)), x.var((2, 3), correction=0).mean(0)


def channel_variances_averaged(x):
    return x.mean((1, 2, 3)), x.var((2, 3)).mean(1)


def variance_of_means(x):
    return x.mean((0, 2, 3)), x.mean((2, 3)).var(0, correction=0)


def mean_of_the_image(x, gamma, beta, eps=1e-5):
    mean = x.mean((1, 2, 3), keepdim=True)
    variance = x.var((0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / torch.sqrt(variance + eps), gamma, beta, 1)


def channels_first_view(x, gamma, beta, eps=1e-5):
    """The view for channels on axis 1, in a layout that has them last."""
    last = normal(x.permute(0, 2, 3, 1), eps, -1)
    last = gamma.view(1, -1, 1, 1) * last + beta.view(1, -1, 1, 1)
    return last.permute(0, 3, 1, 2)


def token_view(x, gamma, beta, eps=1e-5):
    return gamma.view(1, -1, 1) * normal(x, eps, -1) + beta.view(1, -1, 1)


def token_view_of_images(x, gamma, beta, eps=1e-5):
    return gamma.view(1, -1, 1, 1) * normal(x, eps, -1) + beta.view(1, -1, 1, 1)


def gamma_times_x_alone(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return gamma * x - mean / torch.sqrt(variance + eps) + beta


def axes_one_by_one(x):
    return x.mean(0, 2, 3), x.var((0, 2, 3), correction=0)


def axes_one_by_one_kept(x, gamma, beta, eps=1e-5):
    return x - x.mean(0, 2, 3, keepdim=True)


def reduced_axis_lost(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(-1)) / torch.sqrt(x.var(-1, correction=0) + eps) + beta


def beta_in_the_fraction(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    gamma, beta = gamma.view(1, -1, 1, 1), beta.view(1, -1, 1, 1)
    return (gamma * (x - mean) + beta) / torch.sqrt(variance + eps)


def gamma_on_x_alone(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    gamma, beta = gamma.view(1, -1, 1, 1), beta.view(1, -1, 1, 1)
    return (gamma * x - mean) / torch.sqrt(variance + eps) + beta


def beta_in_the_brackets(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    gamma, beta = gamma.view(1, -1, 1, 1), beta.view(1, -1, 1, 1)
    return gamma * (x - mean + beta) / torch.sqrt(variance + eps)


def affine_as_running(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, gamma, beta, training=True, eps=eps)


def eps_for_momentum(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, gamma, beta, True, eps)


def eps_at_the_end(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / variance.sqrt(), gamma, beta, 1) + eps


def divided_by_images(x):
    mean = x.mean((0, 2, 3))
    return mean, (x - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3)) / len(x)


def sums_divided_by_images(x):
    return x.sum((0, 2, 3)) / len(x), divided_by_images(x)[1]


def rounded(x):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return mean.round(decimals=2), variance


def two_of_three_axes(x):
    return x.mean((0, 2, 3)), x.var(0).mean((1, 2))


def channels_first_and_unbiased(x, gamma, beta, eps=1e-5):
    rows = x.transpose(0, 1)
    mean, variance = rows.mean((1, 2, 3), keepdim=True), rows.var((1, 2, 3), keepdim=True)
    gamma, beta = gamma.view(-1, 1, 1, 1), beta.view(-1, 1, 1, 1)
    return gamma * (rows - mean) / torch.sqrt(variance + eps) + beta


def affine_before_a_plain_reshape(x, gamma, beta, eps=1e-5):
    rows = normal(x.transpose(0, 1).reshape(x.shape[1], -1), eps)
    return (gamma[:, None] * rows + beta[:, None]).reshape(x.shape)


def axes_of_the_cut_tensor(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    y = normal(x.reshape(n, groups, c // groups, h, w), eps, (1, 3, 4))
    return affine(y.reshape(x.shape), gamma, beta, groups)


def typo_inside(x, gamma, beta, eps=1e-5):
    return x.var((0, 2, 3), corection=0)


def name_missing(x, gamma, beta, eps=1e-5):
    return gama * x  # noqa: F821


def raise_left_above(x, gamma, beta, eps=1e-5):
    mean = x.mean((0, 2, 3), keepdim=True)
    raise NotImplementedError
    return x - mean


def raise_left_below(x):
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    pair = (mean, variance)
    if pair is None:
        return pair
    raise NotImplementedError


def groups_last(x, groups):
    rows = x.reshape(len(x), -1, groups)
    return rows.mean(1), rows.var(1, correction=0)


def groups_in_front(x, groups):
    parts = [torch.var_mean(p, (1, 2, 3), correction=0)[::-1] for p in x.chunk(groups, 1)]
    return tuple(torch.stack(part) for part in zip(*parts, strict=True))


def groups_flat(x, groups):
    variance, mean = torch.var_mean(x.reshape(len(x) * groups, -1), 1, correction=0)
    return mean, variance


def random_answer(x, gamma, beta, eps=1e-5):
    return F.dropout(F.batch_norm(x, None, None, gamma, beta, True, 0.1, eps), 0.1)


def limited_input(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x.clamp(-1000, 1000), None, None, gamma, beta, True, 0.1, eps)


def other_fixed_eps(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, gamma, beta, True, 0.1, 1e-3)


def fixed_view(x):
    mean = x.mean((0, 2, 3))
    return mean, (x - mean.view(1, 6, 1, 1)).square().mean((0, 2, 3))


def mean_without_its_axes(x):
    mean = x.mean((0, 2, 3))
    return mean, (x - mean).square().mean((0, 2, 3))


def last_axes(x, gamma, beta, eps=1e-5):
    return F.layer_norm(x, gamma.shape, gamma, beta, eps)


def rms_and_beta(x, gamma, beta, eps=1e-5):
    return F.rms_norm(x, gamma.shape, gamma, eps) + beta


def over(axes):
    return lambda x: (x.mean(axes), x.var(axes, correction=0))


def set_by_set(x, number=None, first=False):
    means, variances = [], []
    for c in range(number or x.shape[1]):
        means.append(x[:, c].mean())
        variances.append(x[:, c].var(correction=0))
        if first:
            break
    return torch.stack(means), torch.stack(variances)


def last_group(x, groups):
    for part in x.chunk(groups, 1):
        mean, variance = part.mean((1, 2, 3)), part.var((1, 2, 3), correction=0)
    return mean, variance


def by_groups(x, groups):
    rows = x.reshape(len(x), groups, -1)
    return rows.mean(2), rows.var(2, correction=0)


def groups_for_channels(x, groups):
    return tuple(t.repeat_interleave(x.shape[1] // groups, 1) for t in by_groups(x, groups))


def groups_backwards(x, groups):
    return tuple(t.flip(1) for t in by_groups(x, groups))


def images_for_groups(x, groups):
    return tuple(t[:, None].expand(-1, groups) for t in over((1, 2, 3))(x))


def batch_for_images(x, groups):
    rows = x.transpose(0, 1).reshape(groups, -1)
    return rows.mean(1).repeat(len(x), 1), rows.var(1, correction=0).repeat(len(x), 1)


def everything_for_images(x):
    return tuple(t.expand(len(x)) for t in over((0, 1, 2, 3))(x))


def four_axes(x, gamma, beta, eps=1e-5):
    _, c, _, _ = x.shape
    return F.layer_norm(x, (c,), gamma, beta, eps)


def three_axes(x, gamma, beta, eps=1e-5):
    _, _, _ = x.size()
    return x


def first_token_left_out(x, gamma, beta, eps=1e-5):
    y = F.layer_norm(x, gamma.shape, gamma, beta, eps)
    return torch.cat([x[:, :1], y[:, 1:]], 1)


def last_channel_left_out(x, gamma, beta, eps=1e-5):
    y = x.clone()
    for c in range(x.shape[1] - 1):
        y[:, c] = gamma[c] * normal(x[:, c], eps, (0, 1, 2)) + beta[c]
    return y


def second_group_left_out(x, groups, gamma, beta, eps=1e-5):
    size = x.shape[1] // groups
    y = F.group_norm(x, groups, gamma, beta, eps)
    return torch.cat([y[:, :size], x[:, size:]], 1)


def average_of_a_group(x, groups, gamma, beta, eps=1e-5):
    gamma, beta = (
        t.view(groups, -1).mean(1).repeat_interleave(len(t) // groups) for t in (gamma, beta)
    )
    return F.group_norm(x, groups, gamma, beta, eps)


def gamma_of_the_group_s_number(x, groups, gamma, beta, eps=1e-5):
    size = x.shape[1] // groups
    gamma, beta = (t[:groups].repeat_interleave(size) for t in (gamma, beta))
    return F.group_norm(x, groups, gamma, beta, eps)


def eps_above(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean + eps) / variance.sqrt(), gamma, beta, 1)


def by_range(least):
    def answer(x, gamma, beta, eps=1e-5):
        low, high = x.amin((0, 2, 3), True), x.amax((0, 2, 3), True)
        centre = low if least else x.mean((0, 2, 3), keepdim=True)
        return affine((x - centre) / (high - low + eps), gamma, beta, 1)

    return answer


def by_length(x, gamma, beta, eps=1e-5):
    return affine(F.normalize(x, dim=1, eps=eps), gamma, beta, 1)


def token_length(x, gamma, beta, eps=1e-5):
    return gamma * x / torch.sqrt(x.square().sum(-1, keepdim=True) + eps) + beta


def norm_twice(x, gamma, beta, eps=1e-5):
    for _ in range(2):
        x = affine(normal(x, eps, (0, 2, 3)), gamma, beta, 1)
    return x


def in_eval_mode(x, gamma, beta, eps=1e-5):
    return affine(torch.nn.BatchNorm2d(x.shape[1], eps).eval().to(x.dtype)(x), gamma, beta, 1)


def with_fresh_statistics(x, gamma, beta, eps=1e-5):
    c = x.shape[1]
    return F.batch_norm(x, torch.zeros(c), torch.ones(c), gamma, beta, False, 0.1, eps)


def medians(x):
    rows = x.transpose(0, 1).flatten(1)
    return rows.median(1)[0], rows.var(1, correction=0)


def image_medians(x):
    return x.flatten(1).median(1)[0], x.var((1, 2, 3), correction=0)


def overlapping_groups(x, groups):
    size = x.shape[1] // groups
    parts = [torch.var_mean(x[:, g : g + size], (1, 2, 3), correction=0) for g in range(groups)]
    return torch.stack([m for _, m in parts], 1), torch.stack([v for v, _ in parts], 1)


def images_last(x):
    rows = x.reshape(-1, len(x))
    return rows.mean(0), rows.var(0, correction=0)


def squared_too_late(axes):
    def answer(x):
        mean = x.mean(axes, keepdim=True)
        return mean.flatten(), (x - mean).abs().mean(axes).square()

    return answer


BATCH, GROUP = checks.check_batch_norm, checks.check_group_norm
FUNCTIONS = [
    Mutant("eps above the bar", BATCH, eps_above, ("above the fraction bar",)),
    Mutant("least and largest", BATCH, by_range(True), ("minus the smallest",)),
    Mutant("mean and range", BATCH, by_range(False), ("minus the smallest",)),
    Mutant("F.normalize", checks.check_channel_norm, by_length, ("length of the vector",)),
    Mutant("length of a token", checks.check_token_norm, token_length, ("length of the vector",)),
    Mutant("done twice", BATCH, norm_twice, ("done twice",)),
    Mutant("a layer in eval mode", BATCH, in_eval_mode, ("those of a fresh layer",)),
    Mutant("fresh statistics", BATCH, with_fresh_statistics, ("those of a fresh layer",)),
    Mutant("medians", checks.check_batch_statistics, medians, ("that is the median",)),
    Mutant("medians", checks.check_layer_statistics, image_medians, ("that is the median",)),
    Mutant(
        "mean of |x|",
        checks.check_batch_statistics,
        lambda x: (x.abs().mean((0, 2, 3)), x.var((0, 2, 3), correction=0)),
        ("the mean of |x|",),
    ),
    Mutant("overlap", checks.check_group_statistics, overlapping_groups, ("the groups overlap",)),
    Mutant("images last", checks.check_layer_statistics, images_last, ("every n-th value",)),
    *(
        Mutant("squared too late", check, squared_too_late(axes), ("squared after they are",))
        for check, axes in (
            (checks.check_batch_statistics, (0, 2, 3)),
            (checks.check_layer_statistics, (1, 2, 3)),
        )
    ),
    Mutant(
        "three channels",
        checks.check_batch_statistics,
        lambda x: set_by_set(x, 3),
        ("only 3 come",),
    ),
    Mutant(
        "return in the loop",
        checks.check_batch_statistics,
        lambda x: set_by_set(x, first=True),
        ("only 1 comes",),
    ),
    Mutant("last group", checks.check_group_statistics, last_group, ("only 1 comes",)),
    Mutant("one a channel", checks.check_group_statistics, groups_for_channels, ("comes 3 times",)),
    Mutant("backwards", checks.check_group_statistics, groups_backwards, ("that of the sets",)),
    Mutant("the image's", checks.check_group_statistics, images_for_groups, ("over C, H and W;",)),
    Mutant(
        "the batch's",
        checks.check_group_statistics,
        batch_for_images,
        ("N must not be among them",),
    ),
    Mutant(
        "everything's",
        checks.check_layer_statistics,
        everything_for_images,
        ("over N, C, H and W;",),
    ),
    Mutant(
        "lists",
        checks.check_batch_statistics,
        lambda x: tuple(list(t) for t in over((0, 2, 3))(x)),
        ("torch.stack",),
    ),
    Mutant(
        "a list of images",
        checks.check_channel_norm,
        lambda x, g, b, e: list(changed("channels")(x, g, b, e)),
        ("torch.stack",),
    ),
    Mutant(
        "first token", checks.check_token_norm, first_token_left_out, ("wrong at 0 along axis 1",)
    ),
    Mutant("second group", GROUP, second_group_left_out, ("wrong at 3, 4 and 5 along axis 1",)),
    Mutant(
        "as large as x",
        checks.check_batch_statistics,
        lambda x: tuple(t[:, None, None].expand_as(x) for t in over((0, 2, 3))(x)),
        ("one for each set",),
    ),
    Mutant("last channel", BATCH, last_channel_left_out, ("wrong at 5 along axis 1",)),
    Mutant(
        "averaged over T",
        checks.check_token_norm,
        lambda x, g, b, e: F.layer_norm(x, g.shape, g, b, e).mean(1),
        ("averaged over axis 1",),
    ),
    Mutant("gamma of a group's mean", GROUP, average_of_a_group, ("channels of a group share",)),
    Mutant("gamma[:G]", GROUP, gamma_of_the_group_s_number, ("channels of a group share",)),
    Mutant(
        "arguments in another order",
        GROUP,
        lambda x, n, g, b, e: F.group_norm(x, n, e, g, b),
        ("give them by name",),
    ),
    Mutant("dropout", BATCH, random_answer, ("something is random",)),
    Mutant("input limited", BATCH, limited_input, ("is x limited on the way",)),
    Mutant("another eps fixed", BATCH, other_fixed_eps, ("fixed at 1e-3",)),
    Mutant("x itself", BATCH, lambda x, *_: x.clone(), ("x comes back",)),
    Mutant("a class", BATCH, torch.nn.BatchNorm2d, ("the function of this exercise",)),
    Mutant("6 in a view", checks.check_batch_statistics, fixed_view, ("is a size written",)),
    Mutant(
        "mean without its axes",
        checks.check_batch_statistics,
        mean_without_its_axes,
        ("where the mean is subtracted",),
    ),
    Mutant(
        "groups last", checks.check_group_statistics, groups_last, ("comes behind it: reshape",)
    ),
    Mutant(
        "groups in front",
        checks.check_group_statistics,
        groups_in_front,
        ("axes are in another order",),
    ),
    Mutant("groups flat", checks.check_group_statistics, groups_flat, ("reshape the result back",)),
    Mutant("no permute", checks.check_channel_norm, last_axes, ("over the last axes",)),
    Mutant("RMSNorm", checks.check_token_norm, rms_and_beta, ("that is RMSNorm",)),
    Mutant("beta in the fraction", BATCH, beta_in_the_fraction, ("beta is divided",)),
    Mutant("gamma on x alone", BATCH, gamma_on_x_alone, ("before the mean is subtracted",)),
    Mutant("beta in the brackets", BATCH, beta_in_the_brackets, ("in the brackets with",)),
    Mutant("affine as running", BATCH, affine_as_running, ("not used",)),
    Mutant("eps for momentum", BATCH, eps_for_momentum, ("fixed at 1e-5",)),
    Mutant("eps at the end", BATCH, eps_at_the_end, ("to the quotient",)),
    Mutant(
        "squares divided by N",
        checks.check_batch_statistics,
        divided_by_images,
        ("sum of the squares is divided by 5 (N)",),
    ),
    Mutant(
        "sums divided by N",
        checks.check_batch_statistics,
        sums_divided_by_images,
        ("the sums are divided by 5 (N)",),
    ),
    Mutant("rounded", checks.check_batch_statistics, rounded, ("is rounded",)),
    Mutant(
        "variances over N averaged",
        checks.check_batch_statistics,
        two_of_three_axes,
        ("mean of the variances",),
    ),
    Mutant(
        "axes moved and unbiased",
        BATCH,
        channels_first_and_unbiased,
        ("And the variance is the unbiased",),
    ),
    Mutant(
        "affine before a plain reshape",
        BATCH,
        affine_before_a_plain_reshape,
        ("in the wrong places",),
    ),
    Mutant("axes of the cut tensor", GROUP, axes_of_the_cut_tensor, ("axes of the tensor cut",)),
    Mutant("reshape(C, −1)", BATCH, rows_without_moving, ("it moves no axis",)),
    Mutant("transpose not undone", BATCH, transpose_not_undone, ("in the wrong places",)),
    Mutant("reshape(−1, C)", checks.check_channel_norm, pixels_without_moving, ("moves no axis",)),
    Mutant("permute not undone", checks.check_channel_norm, permute_not_undone, ("wrong places",)),
    Mutant(
        "channels stay last",
        checks.check_channel_norm,
        channels_stay_last,
        ("axes are in another order",),
    ),
    Mutant(
        "view for the other layout",
        checks.check_channel_norm,
        channels_first_view,
        ("has x̂ another shape",),
    ),
    Mutant(
        "reshape(C, −1)",
        checks.check_batch_statistics,
        statistics_without_moving,
        ("it moves no axis",),
    ),
    Mutant("groups taken as a size", GROUP, groups_are_a_size, ("not the channels in one",)),
    Mutant("reshape(groups, −1)", GROUP, groups_of_the_batch, ("cuts the batch into parts",)),
    *(
        Mutant(f"chunks along axis {axis}", GROUP, chunks_along(axis), ("wrong axis is cut",))
        for axis in (2, 3)
    ),
    Mutant("cut along H", GROUP, height_cut, ("cut C, not another axis",)),
    Mutant("five axes returned", GROUP, five_axes_returned, ("reshape the result back",)),
    Mutant("gamma in five axes", GROUP, affine_in_five_axes, ("has x̂ another shape",)),
    Mutant(
        "groups taken as a size",
        checks.check_group_statistics,
        group_sizes,
        ("not the channels in one",),
    ),
    Mutant(
        "chunks along H",
        checks.check_group_statistics,
        group_chunks_of_height,
        ("wrong axis is cut",),
    ),
    Mutant(
        "variances of channels averaged",
        checks.check_group_statistics,
        group_variances_averaged,
        ("mean of the variances",),
    ),
    Mutant(
        "variances of images averaged",
        checks.check_batch_statistics,
        image_variances_averaged,
        ("mean of the variances",),
    ),
    Mutant(
        "variances of channels averaged",
        checks.check_layer_statistics,
        channel_variances_averaged,
        ("mean of the variances",),
    ),
    Mutant(
        "variance of means",
        checks.check_batch_statistics,
        variance_of_means,
        ("variance of the means",),
    ),
    Mutant("mean over another set", BATCH, mean_of_the_image, ("the mean is taken over",)),
    Mutant("view of images", checks.check_token_norm, token_view_of_images, ("keepdim=True",)),
    Mutant("gamma · x alone", checks.check_token_norm, gamma_times_x_alone, ("gamma · x − mean",)),
    Mutant("no tuple", checks.check_batch_statistics, axes_one_by_one, ("a tuple",)),
    Mutant("no tuple, but keepdim", BATCH, axes_one_by_one_kept, ("a tuple",)),
    Mutant("gamma along T", checks.check_token_norm, token_view, ("keepdim=True",)),
    Mutant("no keepdim", checks.check_token_norm, reduced_axis_lost, ("keepdim=True",)),
    Mutant("unknown keyword inside", BATCH, typo_inside, ("an argument that this function",)),
    Mutant("a name misspelt", BATCH, name_missing, ("a name is not defined",)),
    Mutant("the stub's raise left above", BATCH, raise_left_above, ("delete that line",)),
    Mutant(
        "the stub's raise left below",
        checks.check_batch_statistics,
        raise_left_below,
        ("delete that line",),
    ),
]


# RMSNorm


def rms(change="", axes=-1):
    """RMSNorm with one step changed."""

    def answer(x, weight, eps=1e-5):
        square = x.square().mean(axes, keepdim=True)
        y = x / torch.sqrt(square + eps)
        return {
            "mean subtracted": lambda: (x - x.mean(-1, keepdim=True)) / torch.sqrt(square + eps),
            "layer norm": lambda: F.layer_norm(x, weight.shape, weight, None, eps) / weight,
            "deviation": lambda: x / torch.sqrt(x.var(-1, correction=0, keepdim=True) + eps),
            "no root": lambda: x / (square + eps),
            "sum": lambda: x / torch.sqrt(square * x.shape[-1] + eps),
            "absolute": lambda: x / (x.abs().mean(-1, keepdim=True) + eps).sqrt(),
            "eps outside": lambda: x / (torch.sqrt(square) + eps),
            "eps missing": lambda: x / torch.sqrt(square),
            "eps fixed": lambda: x / torch.sqrt(square + 1e-5),
            "multiplied": lambda: x * torch.sqrt(square + eps),
            "float32": lambda: (x.float() / torch.sqrt(square.float() + eps)).to(x.dtype),
            "constant": lambda: x / torch.sqrt(square + eps).detach(),
            "clamped": lambda: y.clamp(-1, 1),
            "not divided": lambda: x,
            "square of the mean": lambda: x * torch.rsqrt(x.mean(-1, keepdim=True) ** 2 + eps),
        }.get(change, lambda: y)() * weight

    return answer


RMS = [
    ("mean subtracted", rms("mean subtracted"), ("the mean is subtracted",)),
    ("layer norm", rms("layer norm"), ("that is layer norm",)),
    ("standard deviation", rms("deviation"), ("you divide by the standard deviation",)),
    ("no root", rms("no root"), ("square root",)),
    ("sum of squares", rms("sum"), ("are summed",)),
    ("absolute values", rms("absolute"), ("mean of |x|",)),
    ("eps outside the root", rms("eps outside"), ("outside the root",)),
    ("eps missing", rms("eps missing"), ("eps is missing",)),
    ("eps fixed", rms("eps fixed"), ("fixed at 1e-5",)),
    ("multiplied", rms("multiplied"), ("you multiply",)),
    ("computed in float32", rms("float32"), ("wrong dtype",)),
    ("root without gradient", rms("constant"), ("passes on no gradient",)),
    ("not divided", rms("not divided"), ("nothing is divided",)),
    ("square of the mean", rms("square of the mean"), ("you square the mean",)),
    (
        "weight applied first",
        lambda x, w, e: rms()(x * w, torch.ones_like(w), e),
        ("weight is applied before",),
    ),
    ("over T", rms(axes=1), ("over T;",)),
    ("over B and T", rms(axes=(0, 1)), ("over B and T;",)),
    ("weight not used", lambda x, w, e: rms()(x, torch.ones_like(w), e), ("weight is not used",)),
    ("1 added to the weight", lambda x, w, e: rms()(x, 1 + w, e), ("has 1 added",)),
    ("divided by the weight", lambda x, w, e: rms()(x, 1 / w, e), ("weight divides",)),
    ("absolute weight", lambda x, w, e: rms()(x, w.abs(), e), ("loses its sign",)),
    ("eps above", lambda x, w, e: w * (x + e) / x.square().mean(2, True).sqrt(), ("above the",)),
    ("largest value", lambda x, w, e: w * x / (x.abs().amax(2, True) + e), ("largest |x|",)),
    ("eps of 1e-8", lambda x, w, e: F.rms_norm(x, w.shape, w, 1e-8), ("fixed at 1e-8",)),
    ("weight along T", lambda x, w, e: rms()(x, w.view(1, -1, 1), e), ("fits as it is",)),
]


# The backward pass by hand


def backward(change="", axes=(0, 2, 3)):
    """The backward pass of batch norm with one step changed."""

    def answer(x, grad_y, gamma, eps):
        gamma = gamma.view(1, -1, 1, 1)

        def mean(t):
            total = t.sum(axes, keepdim=True)
            parts = {"sums": 1, "by N": len(x), "by H · W": x[0, 0].numel()}
            return total / parts.get(change, t.numel() // total.numel())

        variance = x.var(axes, correction=int(change == "unbiased"), keepdim=True)
        root = torch.sqrt(variance + (0 if change == "eps missing" else eps))
        if change == "eps outside":
            root = torch.sqrt(variance) + eps
        centred = x - x.mean(axes, keepdim=True)
        x_hat = centred / root
        g = grad_y if change == "gamma missing" else grad_y * gamma
        first, second = mean(g), x_hat * mean(g * x_hat)
        return {
            "both constant": lambda: g / root,
            "no mean": lambda: (g - second) / root,
            "no variance": lambda: (g - first) / root,
            "product of means": lambda: (g - first - x_hat * mean(g) * mean(x_hat)) / root,
            "mean added": lambda: (g + first - second) / root,
            "variance added": lambda: (g - first + second) / root,
            "both added": lambda: (g + first + second) / root,
            "factor 2": lambda: (g - first - 2 * second) / root,
            "factor −2": lambda: (g - first + 2 * second) / root,
            "grad_y unused": lambda: gamma * (x_hat - x_hat * mean(x_hat * x_hat)) / root,
            "factor ½": lambda: (g - first - second / 2) / root,
            "no root": lambda: (g - first - second) / root**2,
            "g not on the mean path": lambda: (g - first / gamma - second) / root,
            "g not on the variance path": lambda: (g - first - second / gamma) / root,
            "g not first": lambda: (grad_y - first - second) / root,
            "no first path": lambda: -(first + second) / root,
            "g averaged": lambda: (g / (g.numel() / len(gamma[0])) - first - second) / root,
            "sum on the mean path": lambda: (g - g.sum(axes, keepdim=True) - second) / root,
            "sum in x̂ · …": lambda: (g - first - second * (g.numel() / len(gamma[0]))) / root,
            "mean path averaged": lambda: (g - first / (g.numel() / len(gamma[0])) - second) / root,
            "inner x": lambda: (g - first - x_hat * mean(g * x / root)) / root,
            "x inside": lambda: (g - first - x_hat * mean(g * x)) / root,
            "x in front": lambda: (g - first - x * mean(g * x_hat)) / root,
            "last path divided": lambda: g - first - second / root,
            "outer x": lambda: (g - first - x / root * mean(g * x_hat)) / root,
            "bare variance": lambda: (g - first - second) / variance,
            "bare root": lambda: (g - first - second) / variance.sqrt(),
            "power of −3/2": lambda: (g - first - second) * (variance + eps) ** -1.5,
            "not divided": lambda: g - first - second,
            "centred": lambda: (g - first - centred * mean(g * centred)) / root,
            "half centred": lambda: (g - first - centred * mean(g * x_hat)) / root,
            "x̂ not centred": lambda: (g - first - x / root * mean(g * x / root)) / root,
            "sum of y": lambda: 0 * g,
            "x": lambda: (g - first - x * mean(g * x)) / root,
            "no x̂ inside": lambda: (g - first - x_hat * first) / root,
            "no x̂ in front": lambda: (g - first - mean(g * x_hat)) / root,
            "both x̂ inside": lambda: (g - first - mean(g * x_hat * x_hat)) / root,
            "sign": lambda: -(g - first - second) / root,
            "of x_hat": lambda: g,
            "of beta": lambda: grad_y.sum((0, 2, 3)),
            "of gamma": lambda: (grad_y * x_hat).sum((0, 2, 3)),
            "gamma on one path": lambda: (g - (first + second) / gamma) / root,
            "gamma twice": lambda: gamma * (g - first - second) / root,
            "float32": lambda: ((g - first - second) / root).float().to(x.dtype),
            "axes moved": lambda: ((g - first - second) / root).transpose(0, 1),
            "in place": lambda: grad_y.mul_(gamma).sub_(first).sub_(second) / root,
        }.get(change, lambda: (g - first - second) / root)()

    return answer


GRADIENTS = [
    ("x inside", ("inside the second mean stands x",)),
    ("x in front", ("in front of the second mean stands x",)),
    ("last path divided", ("only the last path is divided",)),
    ("both constant", ("pass for constants",)),
    ("no mean", ("path through the mean is missing",)),
    ("no variance", ("path through the variance is missing",)),
    ("product of means", ("path through the variance is missing",)),
    ("mean added", ("sign of the path through the mean",)),
    ("variance added", ("sign of the path through the variance",)),
    ("both added", ("signs of both",)),
    ("factor 2", ("wrong factor",)),
    ("factor ½", ("wrong factor",)),
    ("factor −2", ("sign and factor",)),
    ("grad_y unused", ("grad_y is not used",)),
    ("no root", ("by its square root, once",)),
    ("g not on the mean path", ("missing on the path through the mean",)),
    ("g not on the variance path", ("missing on the path through the variance",)),
    ("g not first", ("missing on the first path",)),
    ("no first path", ("g itself is missing",)),
    ("g averaged", ("g itself is divided",)),
    ("sum on the mean path", ("through the mean a sum",)),
    ("sum in x̂ · …", ("through the variance a sum",)),
    ("mean path averaged", ("through the mean is divided",)),
    ("inner x", ("in one place where x − mean",)),
    ("outer x", ("in one place where x − mean",)),
    ("bare variance", ("the bare variance",)),
    ("bare root", ("in the last division eps",)),
    ("power of −3/2", ("three times",)),
    ("not divided", ("division by sqrt",)),
    ("centred", ("in both places",)),
    ("half centred", ("in one place only",)),
    ("x", ("has x where x̂ belongs",)),
    ("no x̂ inside", ("missing inside",)),
    ("no x̂ in front", ("missing in front",)),
    ("both x̂ inside", ("one x̂ too many",)),
    ("sign", ("all of it is negative",)),
    ("of x_hat", ("gradient of x̂",)),
    ("of beta", ("gradient of beta",)),
    ("of gamma", ("gradient of gamma",)),
    ("gamma missing", ("gamma is missing: y",)),
    ("gamma on one path", ("on the paths",)),
    ("gamma twice", ("gamma counts twice",)),
    ("sums", ("sums stand where means",)),
    ("by N", ("are divided by N:",)),
    ("by H · W", ("are divided by H · W:",)),
    ("x̂ not centred", ("in x̂ the mean is not",)),
    ("sum of y", ("0 everywhere",)),
    ("unbiased", ("unbiased",)),
    ("eps missing", ("eps is missing",)),
    ("eps outside", ("outside the root",)),
    ("float32", ("wrong dtype",)),
    ("axes moved", ("axes are in another order",)),
    ("in place", ("grad_y is changed in place",)),
]

# Gamma and beta through functions, x̂ changed, sets and limits


def changed(layout, gamma=lambda g: g, beta=lambda b: b, x_hat=lambda t: t):
    """A norm in which one of its parts goes through a function."""

    def answer(x, *rest):
        *groups, g, b, eps = rest
        shape = {"tokens": (-1,), "image": g.shape}.get(layout, (1, -1, 1, 1))
        size = {"batch": (0, 2, 3), "channels": (1,), "tokens": (2,), "image": (1, 2, 3)}
        if layout == "group":
            y = normal(x.reshape(len(x), groups[0], -1), eps, 2).reshape(x.shape)
        else:
            y = normal(x, eps, size[layout])
        return gamma(g).reshape(shape) * x_hat(y) + beta(b).reshape(shape)

    return layer_answer(answer) if layout == "image" else answer


def limit(how):
    def answer(x, gamma, beta, eps=1e-5):
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        root = variance.clamp(min=eps).sqrt() if how == "variance" else variance.sqrt()
        return affine((x - mean) / (root.clamp(min=eps) if how == "root" else root), gamma, beta, 1)

    return answer


def half_the_variance(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / torch.sqrt(0.5 * variance + eps), gamma, beta, 1)


def root_twice(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / (variance + eps) ** 0.25, gamma, beta, 1)


def gamma_at_least(x, gamma, beta, eps=1e-5):
    """A limit below every gamma of the first input, but not of the next ones."""
    return affine(normal(x, eps, 1), gamma.clamp(min=0.6), beta, 1)


def beta_along_memory(x, gamma, beta, eps=1e-5):
    y = affine(normal(x, eps, 1), gamma, torch.zeros_like(beta), 1)
    return (y.reshape(-1, len(beta)) + beta).reshape(x.shape)


def variance_first(x, gamma, beta, eps=1e-5):
    mean, variance = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / torch.sqrt(variance + eps), gamma, beta, 1)


def first_channel(x, gamma, beta, eps=1e-5):
    mean, variance = x[:, 0].mean(), x[:, 0].var(correction=0)
    return affine((x - mean) / torch.sqrt(variance + eps), gamma, beta, 1)


def last_channel_only(x, gamma, beta, eps=1e-5):
    for c in range(x.shape[1]):
        y = torch.zeros_like(x)
        y[:, c] = gamma[c] * normal(x[:, c], eps, (0, 1, 2)) + beta[c]
    return y


def scales_gamma_in_place(x, gamma, beta, eps=1e-5):
    y = normal(x, eps, (0, 2, 3))
    gamma /= gamma.norm()
    return affine(y, gamma, beta, 1)


def groups_not_joined(x, groups, gamma, beta, eps=1e-5):
    parts = [normal(part, eps, (1, 2, 3)) for part in x.chunk(groups, 1)]
    return affine(torch.stack(parts, 2).reshape(x.shape), gamma, beta, groups)


def gamma_of_other_channels(x, groups, gamma, beta, eps=1e-5):
    gamma, beta = (t.view(-1, groups).T.reshape(-1) for t in (gamma, beta))
    return F.group_norm(x, groups, gamma, beta, eps)


def sets_of_the_batch(x, groups, gamma, beta, eps=1e-5):
    rows = normal(x.transpose(0, 1).reshape(groups, -1), eps)
    return affine(rows.reshape(x.shape), gamma, beta, groups)


def pixels_of_memory(x, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    return F.layer_norm(x.reshape(n, h, w, c), (c,), gamma, beta, eps).reshape(x.shape)


def statistics(mean=lambda x: x.mean((0, 2, 3)), variance=lambda x: x.var((0, 2, 3), correction=0)):
    return lambda x: (mean(x), variance(x))


def group_batch_first(x, groups):
    n, c, h, w = x.shape
    variance, mean = torch.var_mean(
        x.reshape(groups, n, c // groups, h, w), (2, 3, 4), correction=0
    )
    return mean.T, variance.T


def group_height_first(x, groups):
    variance, mean = torch.var_mean(x.transpose(1, 2).reshape(len(x), groups, -1), 2, correction=0)
    return mean, variance


def gradient_on_x_itself(x, grad_y, gamma, eps):
    x.requires_grad_()
    F.batch_norm(x, None, None, gamma, None, True, 0.1, eps).backward(grad_y)
    return x.grad


NORMS = {
    "batch": checks.check_batch_norm,
    "group": checks.check_group_norm,
    "image": checks.check_layer_norm,
    "channels": checks.check_channel_norm,
    "tokens": checks.check_token_norm,
}
STATISTICS = checks.check_batch_statistics


def two_sets(mean_axes, variance_axes, cut=None):
    """The mean over some axes, and the squared distances from it averaged over others."""

    def answer(x, *others):
        values = x if cut is None else x.reshape(len(x), others[0], -1, *x.shape[2:])
        gamma, beta, eps = others[-3:]
        centred = values - values.mean(mean_axes, keepdim=True)
        variance = centred.square().mean(variance_axes, keepdim=True)
        return affine((centred / torch.sqrt(variance + eps)).reshape(x.shape), gamma, beta, 1)

    return answer


def cut_across_and_moved(x, groups, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    parts = x.reshape(n, c // groups, groups, h, w).transpose(1, 2)
    return affine(normal(parts, eps, (2, 3, 4)).reshape(x.shape), gamma, beta, groups)


AXES = {"batch": (0, 2, 3), "channels": (1,), "tokens": (2,)}


def ends(layout, end):
    """A right x̂, and another last step than gamma · x̂ + beta."""

    def answer(x, gamma, beta, eps=1e-5):
        if layout != "tokens":
            gamma, beta = gamma.view(1, -1, 1, 1), beta.view(1, -1, 1, 1)
        return end(x, normal(x, eps, AXES[layout]), gamma, beta)

    return answer


def divided(layout, by):
    """A norm with another divisor."""

    def answer(x, gamma, beta, eps=1e-5):
        variance, mean = torch.var_mean(x, AXES[layout], correction=0, keepdim=True)
        last = ends(layout, lambda x, _, gamma, beta: gamma * x + beta)
        return last((x - mean) / by(variance, eps), gamma, beta)

    return answer


def gamma_of_places(x, groups, gamma, beta, eps=1e-5):
    size = len(gamma) // groups
    return F.group_norm(x, groups, gamma[:size].repeat(groups), beta[:size].repeat(groups), eps)


def squared(x, axes):
    return x.mean(axes), x.var(axes, correction=0) ** 2


def twisted(x, axes):
    """A mistake that nothing recognises."""
    return x.mean(axes), x.var(axes, correction=0).sin() + 2


def in_float16(x):
    variance, mean = torch.var_mean(x.half().float(), (0, 2, 3), correction=0)
    return mean, variance


def joined_by_cat(x, groups):
    variances, means = zip(
        *(torch.var_mean(part, (1, 2, 3), correction=0) for part in x.chunk(groups, 1)),
        strict=True,
    )
    return torch.cat(means), torch.cat(variances)


def maps_of_groups(x, groups):
    maps = x.reshape(len(x), groups, -1, *x.shape[2:])
    return maps.mean((3, 4)), maps.var((3, 4), correction=0)


LATER = [
    *(
        Mutant(f"{what} over other axes", BATCH, two_sets(*axes), (words,))
        for what, axes, words in [
            ("squares", ((0, 2, 3), (2, 3)), "the variance is taken over H and W"),
            ("squares", ((0, 2, 3), (0, 2)), "the variance is taken over N and H"),
            ("mean", ((2, 3), (0, 2, 3)), "the mean is taken over H and W"),
            ("mean", ((0, 1, 2, 3), (0, 2, 3)), "the mean is taken over N, C, H and W"),
        ]
    ),
    *(
        Mutant(f"{what} over other axes", GROUP, two_sets(*axes, cut="groups"), (words,))
        for what, axes, words in [
            ("squares", ((2, 3, 4), (1, 3, 4)), "the variance is taken over G, H and W"),
            ("squares", ((2, 3, 4), (3, 4)), "the variance is taken over H and W"),
            ("mean", ((1, 2, 3, 4), (2, 3, 4)), "the mean is taken over G, C/G, H and W"),
            ("mean", ((2,), (2, 3, 4)), "the mean is taken over C/G:"),
        ]
    ),
    *(
        Mutant(name, NORMS[layout], divided(layout, by), (words,))
        for layout in ("batch", "channels", "tokens")
        for name, by, words in [
            ("** 1 / 2", lambda v, eps: (v + eps) ** 1 / 2, "** comes before /"),
            ("/ … ** 1 / 2", lambda v, eps: 2 * (v + eps), "** comes before /"),
            ("eps subtracted", lambda v, eps: (v - eps) ** 0.5, "eps is subtracted"),
            ("roots added", lambda v, eps: v**0.5 + eps**0.5, "no sum of roots"),
            ("squared", lambda v, eps: (v + eps) ** 2, "by the square of"),
        ]
    ),
    *(
        Mutant(name, NORMS[layout], ends(layout, end), (words,))
        for layout in ("batch", "channels", "tokens")
        for name, end, words in [
            ("x scaled", lambda x, y, g, b: g * x + b, "x̂ is not used"),
            ("gamma twice", lambda x, y, g, b: g * y + g, "gamma stands where"),
            ("beta twice", lambda x, y, g, b: b * y + b, "beta stands where"),
        ]
    ),
    Mutant("by the place in a group", GROUP, gamma_of_places, ("by the place",)),
    *(
        Mutant("variance squared", check, lambda x, axes=axes: squared(x, axes), ("the square of",))
        for check, axes in ((STATISTICS, (0, 2, 3)), (checks.check_layer_statistics, (1, 2, 3)))
    ),
    *(
        Mutant("variance of its own", check, lambda x, axes=axes: twisted(x, axes), ("step by",))
        for check, axes in ((STATISTICS, (0, 2, 3)), (checks.check_layer_statistics, (1, 2, 3)))
    ),
    Mutant("in float16", STATISTICS, in_float16, ("converted to float16",)),
    Mutant("joined by cat", checks.check_group_statistics, joined_by_cat, ("not torch.cat",)),
    Mutant(
        "standard deviation",
        checks.check_rms_norm,
        lambda x, w, e: w * x / torch.sqrt(x.var(2, keepdim=True) + e),
        ("you divide by the standard deviation",),
    ),
    Mutant("cut across and moved", GROUP, cut_across_and_moved, ("the wrong places",)),
    Mutant("maps of groups", checks.check_group_statistics, maps_of_groups, ("over H and W; a",)),
    *(
        Mutant(f"gamma through {f.__name__}", NORMS[layout], changed(layout, gamma=f), ("gamma c",))
        for f, layout in [
            (torch.exp, "batch"),
            (F.softplus, "image"),
            (torch.sigmoid, "group"),
            (torch.square, "channels"),
            (torch.tanh, "tokens"),
        ]
    ),
    Mutant(
        "gamma detached", NORMS["batch"], changed("batch", lambda g: g.detach()), ("as it comes",)
    ),
    Mutant(
        "gamma limited", NORMS["batch"], changed("batch", lambda g: g.clamp(-9, 9)), ("gamma c",)
    ),
    *(
        Mutant(f"beta through {f.__name__}", NORMS[layout], changed(layout, beta=f), ("beta c",))
        for f, layout in [(torch.abs, "group"), (torch.relu, "batch"), (torch.tanh, "image")]
    ),
    Mutant("x̂ limited", BATCH, changed("batch", x_hat=lambda t: t.clamp(-2, 2)), ("x̂ is clamped",)),
    Mutant("x̂ doubled", BATCH, changed("batch", x_hat=lambda t: 1.5 * t), ("x̂ is 1.5 times",)),
    Mutant("max(variance, eps)", BATCH, limit("variance"), ("lower limit",)),
    Mutant("max(root, eps)", BATCH, limit("root"), ("lower limit",)),
    Mutant("swapped statistics", BATCH, variance_first, ("gives the variance first",)),
    Mutant("first channel's statistics", BATCH, first_channel, ("the first set serve",)),
    Mutant("last channel only", BATCH, last_channel_only, ("the rest is 0",)),
    Mutant("gamma scaled in place", BATCH, scales_gamma_in_place, ("in place",)),
    Mutant("half the variance", BATCH, half_the_variance, ("variance is half",)),
    Mutant("x added", BATCH, lambda x, g, b, e: x + changed("batch")(x, g, b, e), ("x itself",)),
    Mutant("groups stacked", NORMS["group"], groups_not_joined, ("in the wrong places",)),
    Mutant("other gammas", NORMS["group"], gamma_of_other_channels, ("gamma reaches the wrong",)),
    Mutant("sets of the batch", NORMS["group"], sets_of_the_batch, ("N must not be in a set",)),
    Mutant("pixels of memory", NORMS["channels"], pixels_of_memory, ("moves no axis",)),
    Mutant(
        "numbers in a list",
        NORMS["tokens"],
        lambda *a: changed("tokens")(*a).tolist(),
        ("stay with PyTorch's tensors",),
    ),
    *(
        Mutant(name, STATISTICS, statistics(variance=variance), words)
        for name, variance, words in [
            ("half", lambda x: x.var((0, 2, 3), correction=0) / 2, ("is 0.5 times",)),
            ("eps added", lambda x: x.var((0, 2, 3), correction=0) + 1e-5, ("eps, or another",)),
            (
                "kept from 0",
                lambda x: x.var((0, 2, 3), correction=0).clamp(min=1e-2),
                ("have the variance 0",),
            ),
            (
                "global mean subtracted",
                lambda x: (x - x.mean()).square().mean((0, 2, 3)),
                ("mean of S itself",),
            ),
            (
                "not squared before averaging",
                lambda x: (x - x.mean((0, 2, 3), keepdim=True)).mean((0, 2, 3)).square(),
                ("cancel each other",),
            ),
        ]
    ),
    Mutant(
        "batch first", checks.check_group_statistics, group_batch_first, ("cuts the batch: the",)
    ),
    Mutant("mean negated", STATISTICS, statistics(lambda x: -x.mean((0, 2, 3))), ("the sign of",)),
    Mutant("first image", STATISTICS, statistics(lambda x: x[0].mean((1, 2))), ("image alone",)),
    Mutant(
        "first channel for all",
        STATISTICS,
        statistics(variance=lambda x: x[:, 0].var(correction=0).expand(x.shape[1])),
        ("use its counter",),
    ),
    Mutant(
        "logarithm",
        STATISTICS,
        statistics(variance=lambda x: x.var((0, 2, 3), correction=0).log()),
        ("the logarithm of",),
    ),
    Mutant("root of the root", BATCH, root_twice, ("taken twice",)),
    Mutant("gamma kept from 0", NORMS["channels"], gamma_at_least, ("gamma counts",)),
    Mutant("beta along memory", NORMS["channels"], beta_along_memory, ("beta reaches",)),
    Mutant("height first", checks.check_group_statistics, group_height_first, ("H is cut",)),
    Mutant(
        "D − 1",
        checks.check_rms_norm,
        lambda x, w, e: x * w * (x.square().sum(2, keepdim=True) / (x.shape[2] - 1) + e).rsqrt(),
        ("by D − 1",),
    ),
    Mutant(
        "eps not given",
        checks.check_rms_norm,
        lambda x, w, e: F.rms_norm(x, w.shape, w),
        ("not handed on",),
    ),
    Mutant(
        "weight twice",
        checks.check_rms_norm,
        lambda x, w, e: F.rms_norm(x, w.shape, w * w, e),
        ("weight counts",),
    ),
    Mutant(
        "forward",
        checks.check_batch_norm_gradient,
        lambda x, y, g, e: F.batch_norm(x, None, None, g, None, True, 0.1, e),
        ("forward pass",),
    ),
    Mutant(
        "on x itself",
        checks.check_batch_norm_gradient,
        gradient_on_x_itself,
        ("not yours to change",),
    ),
]

FUNCTIONS += [
    *LATER,
    *(Mutant(name, checks.check_rms_norm, answer, words) for name, answer, words in RMS),
    *(
        Mutant(name, checks.check_batch_norm_gradient, backward(name), words)
        for name, words in GRADIENTS
    ),
    *(
        Mutant(f"wrong S: {words}", checks.check_batch_norm_gradient, backward(axes=axes), (words,))
        for axes, words in [((1, 2, 3), "over C, H and W"), ((2, 3), "over H and W"), (0, "over N")]
    ),
]
