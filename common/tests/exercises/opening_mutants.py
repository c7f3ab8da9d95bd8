"""Wrong and right answers to the opening notebook's `normalise(x, axes, eps)`."""

from __future__ import annotations

import torch

from common import exercises as checks
from common.tests.exercises.answers import Mutant, Variant


def statistics(x, axes, correction=0):
    return x.mean(axes, keepdim=True), x.var(axes, correction=correction, keepdim=True)


def right(x, axes, eps=1e-5):
    mean, variance = statistics(x, axes)
    return (x - mean) / torch.sqrt(variance + eps)


def by_hand(x, axes, eps=1e-5):
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps)


def by_unsqueezing(x, axes, eps=1e-5):
    mean, variance = x.mean(axes), x.var(axes, correction=0)
    for axis in axes:
        mean, variance = mean.unsqueeze(axis), variance.unsqueeze(axis)
    return (x - mean) / (variance + eps).sqrt()


def unbiased(x, axes, eps):
    mean, variance = statistics(x, axes, correction=1)
    return (x - mean) / torch.sqrt(variance + eps)


def eps_outside(x, axes, eps):
    mean, variance = statistics(x, axes)
    return (x - mean) / (variance.sqrt() + eps)


def without_eps(x, axes, eps):
    mean, variance = statistics(x, axes)
    return (x - mean) / variance.sqrt()


def without_root(x, axes, eps):
    mean, variance = statistics(x, axes)
    return (x - mean) / (variance + eps)


def without_brackets(x, axes, eps):
    mean, variance = statistics(x, axes)
    return x - mean / torch.sqrt(variance + eps)


def centred_only(x, axes, eps):
    return x - x.mean(axes, keepdim=True)


def without_keepdim(x, axes, eps):
    return (x - x.mean(axes)) / torch.sqrt(x.var(axes, correction=0) + eps)


def in_place(x, axes, eps):
    x -= x.mean(axes, keepdim=True)
    return x / torch.sqrt(x.var(axes, correction=0, keepdim=True) + eps)


def constants(x, axes, eps):
    mean, variance = (value.detach() for value in statistics(x, axes))
    return (x - mean) / torch.sqrt(variance + eps)


def of_squares(x, axes, eps):
    mean = x.mean(axes, keepdim=True)
    variance = x.square().mean(axes, keepdim=True) - mean**2
    return (x - mean) / torch.sqrt(variance + eps)


def with_axes(fixed):
    return lambda x, axes, eps: right(x, fixed, eps)


WRONG = [
    ("unbiased", unbiased, "the unbiased one"),
    ("eps outside", eps_outside, "belongs inside"),
    ("no eps", without_eps, "eps is missing"),
    ("eps fixed", lambda x, axes, eps: right(x, axes), "fixed at 1e-5"),
    ("no root", without_root, "take its square root"),
    ("doubled", lambda x, axes, eps: 2 * right(x, axes, eps), "2 times what it should be"),
    ("no brackets", without_brackets, "brackets are missing"),
    ("centred only", centred_only, "nothing is divided"),
    ("no keepdim", without_keepdim, "keepdim=True"),
    ("in place", in_place, "changed in place"),
    ("constants", constants, "pass on no gradient"),
    ("E[x²] − E[x]²", of_squares, "two huge numbers"),
    ("batch norm's axes alone", with_axes((0, 2, 3)), "layer norm averages"),
    ("layer norm's axes alone", with_axes((1, 2, 3)), "batch norm averages"),
    ("all axes", with_axes((0, 1, 2, 3)), "over N, C, H and W"),
    ("no return line", lambda x, axes, eps: None, "return line missing"),
]
MUTANTS = [Mutant(name, checks.check_normalise, answer, (word,)) for name, answer, word in WRONG]
VARIANTS = [
    Variant(answer.__name__, checks.check_normalise, answer)
    for answer in (right, by_hand, by_unsqueezing)
]
