"""Wrong answers that are classes: layers with parameters and running statistics."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from common.tests.exercises.answers import (
    affine,
    difference_of_means,
    eps_missing,
    eps_outside,
    finish,
    fold,
    layer_answer,
    no_affine,
    norm_answer,
    scalar_affine,
    two_pass,
    unbiased,
    unfold,
    without_gradient,
)

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


class FrozenLayerNorm(layer_answer(norm_answer("image"))):
    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.weight.requires_grad_(False)


class BufferLayerNorm(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(shape))
        self.register_buffer("bias", torch.zeros(shape))

    def forward(self, x):
        return norm_answer("image")(x, self.weight, self.bias, self.eps)


class LongerLayerNorm(layer_answer(norm_answer("image"))):
    """A parameter that nobody uses."""

    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.scale = nn.Parameter(torch.ones(1))


class FixedLayerNorm(layer_answer(norm_answer("image"))):
    """The shape of the first trial, as numbers."""

    def __init__(self, shape, eps=1e-5):
        super().__init__((6, 3, 4), eps)


class OtherWayRound(layer_answer(norm_answer("image"))):
    def __init__(self, shape=None, bias=True, eps=1e-5):
        super().__init__(shape, eps)


class NumbersInEval(layer_answer(norm_answer("image"))):
    """Keeps the batch's statistics for eval mode, and begins with plain numbers."""

    mean, variance = 0.0, 1.0

    def forward(self, x):
        if self.training:
            self.variance, self.mean = torch.var_mean(x, (1, 2, 3), correction=0, keepdim=True)
        root = torch.sqrt(self.variance + self.eps)
        return self.weight * (x - self.mean) / root + self.bias


class NothingInEval(layer_answer(norm_answer("image"))):
    def forward(self, x):
        return super().forward(x) if self.training else x * self.weight + self.bias


class EpsFirst(layer_answer(norm_answer("image"))):
    """The constructor swallows eps."""

    def __init__(self, shape, momentum=0.1, eps=1e-5):
        super().__init__(shape, eps)


SHARED_WEIGHT = {}


class MadeInForward(layer_answer(norm_answer("image"))):
    def forward(self, x):
        self.weight = nn.Parameter(torch.ones(x.shape[1:]))
        return super().forward(x)


class SharedParameters(layer_answer(norm_answer("image"))):
    def __init__(self, shape, eps=1e-5):
        super().__init__(shape, eps)
        self.weight = SHARED_WEIGHT.setdefault(tuple(shape), self.weight)


class ForwardMissing(layer_answer(norm_answer("image"))):
    def forward(self, x):
        raise NotImplementedError


class OtherNamesOfLayerNorm(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return norm_answer("image")(x, self.gamma, self.beta, 1e-5)


class LayerNormInside(nn.Module):
    """Its weight is only looked at from outside."""

    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(shape, eps)

    @property
    def weight(self):
        return self.norm.weight

    def forward(self, x):
        return self.norm(x)


class NothingMade(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()

    def forward(self, x):
        self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
        return x


class OverwritesGamma(layer_answer(norm_answer("image"))):
    def forward(self, x):
        self.weight.data.fill_(1.0)
        return super().forward(x)


class ForwardMisspelt(nn.Module):
    def __init__(self, shape, eps=1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))

    def foward(self, x):
        return x


LAYER_NORMS += [
    ("other names", OtherNamesOfLayerNorm, ("self.gamma or self.beta stand",)),
    ("a layer inside", LayerNormInside, ("norm.weight belongs to a layer inside",)),
    ("nothing made in __init__", NothingMade, ("that __init__ makes, once and directly in your",)),
    ("gamma overwritten", OverwritesGamma, ("self.weight is changed in place",)),
    ("forward misspelt", ForwardMisspelt, ("must be called forward",)),
    ("forward not written yet", ForwardMissing, ("go on there",)),
    ("gamma frozen", FrozenLayerNorm, ("requires_grad as nn.Parameter",)),
    ("beta is a buffer", BufferLayerNorm, ("make beta learnable",)),
    ("a parameter too many", LongerLayerNorm, ("all that is learnt",)),
    ("the shape as numbers", FixedLayerNorm, ("without numbers of your own",)),
    ("other arguments in between", OtherWayRound, ("order of the stub's arguments",)),
    ("eval mode without statistics", NumbersInEval, ("the same in train and in eval",)),
    ("another behaviour in eval mode", NothingInEval, ("the same in train and in eval",)),
    ("arguments in another order", EpsFirst, ("order of the stub's arguments",)),
    ("gamma made in forward", MadeInForward, ("never learns",)),
    ("one gamma for two layers", SharedParameters, ("is shared by all layers",)),
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


class BatchNormInPlace(RightBatchNorm):
    """Moves its buffers in place."""

    @torch.no_grad()
    def update(self, mean, variance, size):
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(
            variance, alpha=self.momentum * size / (size - 1)
        )


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


class StatisticsOfTheOutput(RightBatchNorm):
    affine = True

    def forward(self, x):
        y = super().forward(x)
        if self.training:
            size = x.numel() // x.shape[1]
            self.running_mean, self.running_var = self.before
            of = y if self.affine else self.normalised(x, *self.statistics(x))
            super().update(*two_pass(fold(of, "batch")), size)
        return y

    def update(self, mean, variance, size):
        self.before = self.running_mean, self.running_var


class StatisticsOfTheNormal(StatisticsOfTheOutput):
    affine = False


class AroundTheOldMean(RightBatchNorm):
    def update(self, mean, variance, size):
        old = self.running_mean
        super().update(mean, variance + (mean - old).square(), size)


class AroundTheNewMean(RightBatchNorm):
    def update(self, mean, variance, size):
        new = self.moved(self.running_mean, mean.detach())
        super().update(mean, variance + (mean - new).square(), size)


class CorrectedLikeAdam(RightBatchNorm):
    steps = 0

    def update(self, mean, variance, size):
        self.steps += 1
        super().update(mean, variance, size)

    def normalised(self, x, mean, variance):
        if not self.training:
            share = 1 - (1 - self.momentum) ** self.steps
            mean, variance = mean / share, variance / share
        return super().normalised(x, mean, variance)


class OwnNames(nn.Module):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x


class SharedInEval(RightBatchNorm):
    """The class remembers the statistics of the layer that was trained last."""

    latest: ClassVar[dict] = {}

    def update(self, mean, variance, size):
        super().update(mean, variance, size)
        SharedInEval.latest["mean"] = self.running_mean

    def normalised(self, x, mean, variance):
        if not self.training:
            mean = SharedInEval.latest.get("mean", mean)
        return super().normalised(x, mean, variance)


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


class FrozenGamma(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        for parameter in self.parameters():
            parameter.requires_grad = False


class PlainGamma(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        del self.weight
        self.weight = torch.ones(channels)


class BufferBeta(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        del self.bias
        self.register_buffer("bias", torch.zeros(channels))


class ParameterTooMany(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        self.alpha = nn.Parameter(torch.zeros(channels))


class SixChannels(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(6, eps, momentum)


class RunningParameters(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        del self.running_mean, self.running_var
        self.running_mean = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(channels), requires_grad=False)


class StartsAtZero(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        self.running_var.zero_()


class GammaStartsAtZero(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        nn.init.zeros_(self.weight)


class FirstBatchReplaces(RightBatchNorm):
    """Nothing to average with yet: the first batch is taken as it is."""

    def moved(self, old, new):
        fresh = bool((old == 0).all() or (old == 1).all())
        return new if fresh else super().moved(old, new)


class NotSaved(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        self.register_buffer("running_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("running_var", torch.ones(channels), persistent=False)


SHARED = {}


class SharedStatistics(BatchNormInPlace):
    """One tensor for all layers of as many channels."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__(channels, eps, momentum)
        self.running_mean = SHARED.setdefault(channels, self.running_mean)


class StaleCopy(RightBatchNorm):
    """Eval mode uses what the statistics were when it was used first."""

    copy = None

    def normalised(self, x, mean, variance):
        if not self.training:
            if self.copy is None:
                self.copy = (mean.clone(), variance.clone())
            mean, variance = self.copy
        return super().normalised(x, mean, variance)


class MadeInTraining(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(mean, variance, size)
        self.for_eval = (self.running_mean, self.running_var)

    def normalised(self, x, mean, variance):
        if not self.training:
            mean, variance = self.for_eval
        return super().normalised(x, mean, variance)


class NotForOneImage(RightBatchNorm):
    def update(self, mean, variance, size):
        if size != 12:
            super().update(mean, variance, size)


class MomentumFirst(RightBatchNorm):
    def __init__(self, channels, momentum=0.1, eps=1e-5):
        super().__init__(channels, eps, momentum)


class NoGradientInEval(RightBatchNorm):
    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)


class Float64Statistics(RightBatchNorm):
    def moved(self, old, new):
        return super().moved(old.double(), new.double())


class SizeOf(RightBatchNorm):
    size = staticmethod(lambda x: len(x))

    def forward(self, x):
        self.x = x
        return super().forward(x)

    def unbiased(self, variance, size):
        n = self.size(self.x)
        return variance * n / (n - 1) if n > 1 else super().unbiased(variance, size)


class SizeOfPixels(SizeOf):
    size = staticmethod(lambda x: x[0, 0].numel())


class SizeOfAll(SizeOf):
    size = staticmethod(lambda x: x.numel())


class CorrectionTwisted(RightBatchNorm):
    def unbiased(self, variance, size):
        return variance * (size - 1) / size


class NewNotScaled(RightBatchNorm):
    def moved(self, old, new):
        return (1 - self.momentum) * old + new


class WrongSignInUpdate(RightBatchNorm):
    def moved(self, old, new):
        return old + self.momentum * (old - new)


class OldIsLost(RightBatchNorm):
    def moved(self, old, new):
        return self.momentum * new


class AboutRunningMean(RightBatchNorm):
    def statistics(self, x):
        centred = x - self.running_mean.view(1, -1, 1, 1)
        return x.mean((0, 2, 3)), centred.square().mean((0, 2, 3))


class MovesTwice(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(mean, variance, size)
        super().update(mean, variance, size)


class RootTwice(RightBatchNorm):
    def normalised(self, x, mean, variance):
        return super().normalised(x, mean, variance if self.training else variance.sqrt())


class NoSuperInit(RightBatchNorm):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        self.weight = nn.Parameter(torch.ones(channels))


class UpdatedBeforeEval(RightBatchNorm):
    def updates(self):
        return True


class IdentityInEval(RightBatchNorm):
    def forward(self, x):
        return super().forward(x) if self.training else x


class OwnMeanInEval(RightBatchNorm):
    def normalised(self, x, mean, variance):
        return super().normalised(x, x.mean((0, 2, 3)), variance)


class NoAffineInEval(RightBatchNorm):
    def forward(self, x):
        if self.training:
            return super().forward(x)
        return self.normalised(x, self.running_mean, self.running_var)


class ReturnsNothing(RightBatchNorm):
    def forward(self, x):
        super().forward(x)


class ShapedStatistics(RightBatchNorm):
    def update(self, mean, variance, size):
        super().update(mean, variance, size)
        self.running_mean = self.running_mean.view(1, -1, 1, 1)


class ModesSwapped(RightBatchNorm):
    def uses_the_batch(self):
        return not self.training

    updates = uses_the_batch


class OwnVarianceForgotten(RightBatchNorm):
    """The batch's mean, but what running_var has become."""

    def normalised(self, x, mean, variance):
        return super().normalised(x, mean, self.running_var if self.training else variance)


class OwnMeanForgotten(RightBatchNorm):
    def normalised(self, x, mean, variance):
        return super().normalised(x, self.running_mean if self.training else mean, variance)


class Moved(RightBatchNorm):
    """Moves its running statistics by other values than it should."""

    def update(self, mean, variance, size):
        mean, variance = mean.detach(), self.unbiased(variance.detach(), size)
        of_mean, of_var = self.news(mean, variance)
        self.running_mean = self.moved(self.running_mean, of_mean)
        self.running_var = self.moved(self.running_var, of_var)


class MeanInRunningVariance(Moved):
    def news(self, mean, variance):
        return mean, mean


class VarianceInRunningMean(Moved):
    def news(self, mean, variance):
        return variance, variance


class SquaresInRunningVariance(Moved):
    def news(self, mean, variance):
        return mean, variance * 59 / 60 + mean**2


class OldOfTheOther(Moved):
    def moved(self, old, new):
        return super().moved(self.running_mean, new)

    def news(self, mean, variance):
        return mean, variance


class HalfAndHalf(RightBatchNorm):
    def moved(self, old, new):
        return (old + new) / 2


class LocalUpdate(RightBatchNorm):
    def update(self, mean, variance, size):
        running_mean = self.running_mean
        running_mean = self.moved(running_mean, mean)


BATCH_NORMS = [
    ("modes swapped", ModesSwapped, ("the wrong way round?",)),
    ("running variance in training", OwnVarianceForgotten, ("here the variance is the running",)),
    ("running mean in training", OwnMeanForgotten, ("here the mean is the running",)),
    ("mean in running_var", MeanInRunningVariance, ("running_var takes the batch's mean",)),
    ("variance in running_mean", VarianceInRunningMean, ("takes the batch's variance",)),
    ("squares in running_var", SquaresInRunningVariance, ("distances from the running mean",)),
    ("running_mean for running_var", OldOfTheOther, ("is running_mean's",)),
    ("half and half", HalfAndHalf, ("fixed at 0.5",)),
    ("update of a local name", LocalUpdate, ("does not move",)),
    ("parameters frozen", FrozenGamma, ("requires_grad as nn.Parameter",)),
    ("gamma a plain tensor", PlainGamma, ("make gamma learnable",)),
    ("beta a buffer", BufferBeta, ("make beta learnable",)),
    ("a parameter too many", ParameterTooMany, ("all that is learnt",)),
    ("six channels always", SixChannels, ("without numbers of your own",)),
    ("running statistics as parameters", RunningParameters, ("an optimiser would train it",)),
    ("running_var starts at 0", StartsAtZero, ("before any training",)),
    ("gamma starts at 0", GammaStartsAtZero, ("gamma starts at 1",)),
    ("the first batch replaces", FirstBatchReplaces, ("the old value counts too",)),
    ("buffers not saved", NotSaved, ("persistent=False",)),
    ("statistics shared by layers", SharedStatistics, ("share their running statistics",)),
    ("stale copy in eval", StaleCopy, ("not with a copy",)),
    ("made in training only", MadeInTraining, ("is made in __init__",)),
    ("no update for one image", NotForOneImage, ("does not move",)),
    ("arguments in another order", MomentumFirst, ("order of the stub's arguments",)),
    ("eval under no_grad", NoGradientInEval, ("eval mode is not no_grad",)),
    ("statistics turn float64", Float64Statistics, ("wrong dtype",)),
    ("|S| taken as N", SizeOf, ("is taken as N:",)),
    ("|S| taken as H · W", SizeOfPixels, ("is taken as H · W:",)),
    ("|S| taken as everything", SizeOfAll, ("is taken as N · C · H · W:",)),
    ("correction twisted", CorrectionTwisted, ("wrong way round",)),
    ("new value not scaled", NewNotScaled, ("the new value must be scaled",)),
    ("wrong sign in the update", WrongSignInUpdate, ("the sign is wrong",)),
    ("old value lost", OldIsLost, ("the old value is lost",)),
    ("about running_mean", AboutRunningMean, ("around running_mean",)),
    ("moves twice", MovesTwice, ("moves twice",)),
    ("root taken twice in eval", RootTwice, ("root twice",)),
    ("no super().__init__()", NoSuperInit, ("comes first in __init__",)),
    ("updated before use in eval", UpdatedBeforeEval, ("updated before they are used",)),
    ("identity in eval", IdentityInEval, ("returned as it is",)),
    ("batch's mean in eval", OwnMeanInEval, ("here the mean is the batch's",)),
    ("no gamma and beta in eval", NoAffineInEval, ("gamma and beta are not used: it",)),
    ("forward returns nothing", ReturnsNothing, ("return line missing",)),
    ("statistics in another shape", ShapedStatistics, ("flatten",)),
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
    ("running statistics are no buffers", NoBuffers, ("neither saved nor moved",)),
    ("statistics of the output", StatisticsOfTheOutput, ("comes out of the norm",)),
    ("statistics of x̂", StatisticsOfTheNormal, ("comes out of the norm",)),
    ("around the old running mean", AroundTheOldMean, ("distances from the running mean",)),
    ("around the new running mean", AroundTheNewMean, ("distances from the running mean",)),
    ("corrected like Adam", CorrectedLikeAdam, ("as Adam does",)),
    ("a layer inside", OtherNames, ("belongs to a layer inside",)),
    ("other names", OwnNames, ("keep the stub's __init__",)),
    ("one state for all in eval", SharedInEval, ("another one has moved",)),
    ("eps outside the root in eval", EpsOutsideInEval, ("outside the root in eval",)),
    ("eps missing in eval", EpsMissingInEval, ("missing in eval",)),
    ("wrong axes", StatisticsOfImages, ("over C, H and W;",)),
    ("gamma and beta of channel 0 for all", ScalarAffine, ("each channel c has its own",)),
    ("input changed in place", ChangesItsInput, ("in place",)),
]
