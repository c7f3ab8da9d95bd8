"""Wrong answers that stop with an error, whose message alone would not say why."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, affine
from common.tests.exercises.layer_mutants import RightBatchNorm

BATCH, GROUP = checks.check_batch_norm, checks.check_group_norm


def root_of_numbers(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return affine((x - mean) / math.sqrt(variance + eps), gamma, beta, 1)


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


ERRORS = [
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
