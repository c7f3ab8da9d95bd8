"""Wrong answers that stop with an error, whose message alone would not say why."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, affine, layer_answer, norm_answer
from common.tests.exercises.layer_mutants import RightBatchNorm

BATCH, GROUP = checks.check_batch_norm, checks.check_group_norm


def root_of_numbers(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / math.sqrt(variance + eps), gamma, beta, 1)


def root_of_an_item(x, gamma, beta, eps=1e-5):
    roots = [torch.sqrt(channel.var(correction=0).item() + eps) for channel in x.transpose(0, 1)]
    return affine(x / torch.stack(roots)[:, None, None], gamma, beta, 1)


def times_missing(x, gamma, beta, eps=1e-5):
    gamma, beta = (t.view(1, -1, 1, 1) for t in (gamma, beta))
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return gamma((x - mean) / torch.sqrt(variance + eps)) + beta


def shape_called(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x.reshape(x.shape()), None, None, gamma, beta, True, 0.1, eps)


def no_value_yet(x):
    for channel in x.transpose(0, 1):
        total += channel.sum()  # noqa: F821
    return total, total


def own_assert(x):
    mean = x.mean((0, 2, 3), keepdim=True)
    assert mean.shape == (x.shape[1],)
    return mean, x.var((0, 2, 3), correction=0)


def other_channels(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, training=True, eps=eps) * gamma.view(1, 16, 1, 1)


def layer_of_its_own(x, gamma, beta, eps=1e-5):
    layer = nn.BatchNorm2d(x.shape[1], eps)
    layer.weight.data, layer.bias.data = gamma, beta
    return layer(x)


def product_of_matrices(x, gamma, beta, eps=1e-5):
    return F.layer_norm(x, gamma.shape, eps=eps) @ gamma + beta


def ddof(x, axes, eps=1e-5):
    return x / x.std(axis=axes, ddof=0, keepdims=True)


def parts_joined_along_images(x, groups, gamma, beta, eps=1e-5):
    y = torch.cat([F.group_norm(part, 1, eps=eps) for part in x.chunk(groups, 1)])
    return gamma.view(1, -1, 1, 1) * y + beta.view(1, -1, 1, 1)


def layer_of_images(x, gamma, beta, eps=1e-5):
    return affine(nn.BatchNorm2d(len(x), eps)(x), gamma, beta, 1)


def channels_first(x, groups, gamma, beta, eps=1e-5):
    return affine(nn.GroupNorm(x.shape[1], groups, eps)(x), gamma, beta, 1)


def as_many_groups_as_images(x, groups, gamma, beta, eps=1e-5):
    return F.group_norm(x, len(x), gamma, beta, eps)


class TrainingCalled(RightBatchNorm):
    def updates(self):
        return self.training()


class SelfForgotten(RightBatchNorm):
    def update(self, mean, variance, size):
        running_mean += self.momentum * (mean - running_mean)  # noqa: F821, F841


def power_by_xor(x):
    return x.mean((0, 2, 3)), ((x - x.mean((0, 2, 3), keepdim=True)) ^ 2).mean((0, 2, 3))


def not_training(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, gamma, beta, eps=eps)


def groups_for_x(x, groups, gamma, beta, eps=1e-5):
    return F.group_norm(groups, x, gamma, beta, eps)


class LengthsLearnt(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(shape))


class ShapeOfTheBatch(layer_answer(norm_answer("image"))):
    def forward(self, x):
        return F.layer_norm(x, x.shape, self.weight, self.bias)


class ShapedNews(RightBatchNorm):
    @torch.no_grad()
    def update(self, mean, variance, size):
        self.running_mean += mean.view(1, -1, 1, 1)


def train_epoch(loss, swapped=False):
    def epoch(network, batches, optimiser):
        for x, y in batches:
            z = network(y if swapped else x)
            loss(z, y).backward()
            optimiser.step()

    return epoch


def of_the_images(network, batches):
    network.norm.running_mean.copy_(torch.cat(batches).mean((0, 2, 3)))


def of_another_name(network, state, order):
    network.load_state_dict({"norm.running_var": state["norm.running_variance"][order]})


def star(x, axes, eps):
    return x - x.mean(*axes, keepdim=True)


def by_numpy(x, axes, eps):
    return x - np.mean(x, axis=axes, keepdims=True)


def over_all_but_the_first(x, gamma, beta, eps=1e-5):
    return F.layer_norm(x, x.shape[1:], gamma, beta, eps)


class WeightWithoutSelf(layer_answer(norm_answer("image"))):
    def forward(self, x):
        return F.layer_norm(x, weight.shape, weight)  # noqa: F821


class LengthsForAxes(layer_answer(norm_answer("image"))):
    def forward(self, x):
        return x - x.mean(self.weight.shape, keepdim=True)


class EpsNotKept(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, eps)  # noqa: F821


class NoEps(EpsNotKept):
    def __init__(self, shape):
        super().__init__(shape)


def order_of_numbers(network, state, order):
    network.load_state_dict({k: v.index_select(0, order.tolist()) for k, v in state.items()})


def rms_by_matmul(x, weight, eps=1e-5):
    return F.rms_norm(x, weight.shape, eps=eps) @ weight


def of_four_axes_by_matmul(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, training=True, eps=eps) @ gamma + beta


def without_no_grad(network, state, order):
    network.load_state_dict(state)
    network.conv.weight[:] = network.conv.weight[order]


class SuperWithoutBrackets(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super.__init__()


def moved_and_viewed(x):
    rows = x.transpose(0, 1).view(x.shape[1], -1)
    return rows.mean(1), rows.var(1, correction=0)


def beta_alone_viewed(x, gamma, beta, eps=1e-5):
    x_hat = F.batch_norm(x, None, None, training=True, eps=eps)
    return gamma.expand_as(x_hat) * x_hat + beta.view(1, -1, 1, 1)


def mean_without_its_axis(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, 1, correction=0)
    root = torch.sqrt(variance + eps)
    return gamma.view(1, -1, 1, 1) * (x - mean) / root + beta.view(1, -1, 1, 1)


def tokens_as_channels(x, gamma, beta, eps=1e-5):
    return F.group_norm(x, 1, gamma, beta, eps)


def not_recorded(x, grad_y, gamma, eps=1e-5):
    F.batch_norm(x, None, None, gamma, None, True, 0.1, eps).backward(grad_y)
    return x.grad


LOSS = ("first an object",)
ESTIMATE = checks.check_re_estimated_statistics
STILL = checks.check_still_frozen
ERRORS = [
    Mutant("super.__init__", checks.check_layer_norm, SuperWithoutBrackets, ("super().__init__",)),
    Mutant("moved, then view", checks.check_batch_statistics, moved_and_viewed, ("permute or tr",)),
    Mutant("beta alone viewed", BATCH, beta_alone_viewed, ("(1, C, 1, 1)",)),
    Mutant(
        "mean, no axis", checks.check_channel_norm, mean_without_its_axis, ("has x̂ another shape",)
    ),
    Mutant("T as channels", checks.check_token_norm, tokens_as_channels, ("that is T",)),
    Mutant("x not asked", checks.check_batch_norm_gradient, not_recorded, ("requires_grad_()",)),
    Mutant("x ^ 2", checks.check_batch_statistics, power_by_xor, ("^ is no power",)),
    Mutant("training=False", BATCH, not_training, ("only with training=True",)),
    Mutant("groups for x", GROUP, groups_for_x, ("a number stands where",)),
    Mutant("lengths learnt", checks.check_layer_norm, LengthsLearnt, ("the lengths themselves",)),
    Mutant("shape of the batch", checks.check_layer_norm, ShapeOfTheBatch, ("without N",)),
    Mutant("news of four axes", checks.check_batch_norm_layer, ShapedNews, ("keeps its shape",)),
    Mutant("labels for images", STILL, train_epoch(F.cross_entropy, True), ("arguments swapped",)),
    Mutant("class for object", STILL, train_epoch(lambda z, y: nn.CrossEntropyLoss(z, y)), LOSS),
    Mutant("a loss as number", STILL, train_epoch(lambda z, y: z.mean().item()), ("a number st",)),
    Mutant("statistics of images", ESTIMATE, of_the_images, ("no longer the images",)),
    Mutant("another name", checks.check_channels_in_order, of_another_name, ("no such name",)),
    Mutant("a list of batches", ESTIMATE, lambda n, batches: n(batches), ("loop over it",)),
    Mutant("star", checks.check_normalise, star, ("the star takes",)),
    Mutant("NumPy's mean", checks.check_normalise, by_numpy, ("not np.mean",)),
    Mutant("all but N", checks.check_token_norm, over_all_but_the_first, ("x.shape[-1:]",)),
    Mutant("all but N", checks.check_channel_norm, over_all_but_the_first, ("permute back",)),
    Mutant("no self", checks.check_layer_norm, WeightWithoutSelf, ("is self. missing",)),
    Mutant("eps not kept", checks.check_layer_norm, EpsNotKept, ("self.eps = eps",)),
    Mutant("no eps", checks.check_layer_norm, NoEps, ("keep the stub's arguments",)),
    Mutant("no_grad missing", checks.check_channels_in_order, without_no_grad, ("no_grad()",)),
    Mutant(
        "a list of numbers", checks.check_channels_in_order, order_of_numbers, ("a list stands",)
    ),
    Mutant("C written out", BATCH, other_channels, ("Take them from x.shape",)),
    Mutant("a layer of float32", BATCH, layer_of_its_own, ("and layers, with dtype",)),
    Mutant("@", checks.check_token_norm, product_of_matrices, ("value by value",)),
    Mutant("@", BATCH, of_four_axes_by_matmul, ("value by value",)),
    Mutant("@", checks.check_rms_norm, rms_by_matmul, ("matmul do that",)),
    Mutant("ddof", checks.check_normalise, ddof, ("PyTorch's correction",)),
    Mutant("joined along N", GROUP, parts_joined_along_images, ("has x̂ another shape",)),
    Mutant("lengths for axes", checks.check_layer_norm, LengthsForAxes, ("a shape holds lengths",)),
    Mutant("sqrt of .item()", BATCH, root_of_an_item, ("torch.sqrt takes a tensor",)),
    Mutant("math.sqrt", BATCH, root_of_numbers, ("work on whole tensors",)),
    Mutant("times forgotten", BATCH, times_missing, ("is a * missing",)),
    Mutant("x.shape()", BATCH, shape_called, ("are used without them",)),
    Mutant("a layer for N channels", BATCH, layer_of_images, ("C is x.shape[1]",)),
    Mutant("channels before groups", GROUP, channels_first, ("are the two swapped",)),
    Mutant("a group an image", GROUP, as_many_groups_as_images, ("are the two swapped",)),
    Mutant("no value yet", checks.check_batch_statistics, no_value_yet, ("has no value yet",)),
    Mutant("own assert", checks.check_batch_statistics, own_assert, ("of your own",)),
    Mutant("self.training()", checks.check_batch_norm_layer, TrainingCalled, ("without them",)),
    Mutant("self forgotten", checks.check_batch_norm_layer, SelfForgotten, ("write self.running",)),
]
