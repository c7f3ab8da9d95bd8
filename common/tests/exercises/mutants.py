"""Wrong answers to the lessons' exercises, each with the hint that it should get.

A `Mutant` is an answer with one deliberate mistake, the check that must reject it, and the words
of which its hint must hold one.
"""

from __future__ import annotations

import torch
from torch import nn

from common import exercises as checks
from common.tests.exercises.answers import (
    Mutant,
    absolute_deviation,
    absolute_gamma,
    affine,
    affine_first,
    affine_of_a_group,
    average_affine,
    average_gamma,
    beta_subtracted,
    channels_last_output,
    clamped_output,
    constant_mean,
    constant_variance,
    difference_of_means,
    divided_by_gamma,
    double_output,
    eps_after,
    eps_doubled,
    eps_fixed,
    eps_missing,
    eps_outside,
    eps_squared,
    eps_twice,
    finish,
    flat_output,
    fold,
    in_float32,
    in_float64_out,
    into_new_tensors,
    kept_between_calls,
    last_axis_affine,
    layer_answer,
    mean_added,
    multiplied,
    no_affine,
    no_brackets,
    no_centring,
    no_root,
    no_scale,
    no_shift,
    norm_answer,
    on_the_cpu,
    one_plus_gamma,
    only_centred,
    relu_gamma,
    relu_output,
    root_squared,
    scalar_affine,
    scaled_squares,
    shift_first,
    standard_deviation,
    statistics_answer,
    sum_of_squares,
    sums,
    swapped_affine,
    through_float32,
    through_item,
    two_pass,
    unbiased,
    uncentred,
    unfold,
    without_gradient,
    wrong_sign,
)
from common.tests.exercises.clinic_mutants import CLINIC
from common.tests.exercises.error_mutants import ERRORS
from common.tests.exercises.function_mutants import FUNCTIONS
from common.tests.exercises.half_repaired_mutants import HALF_REPAIRED
from common.tests.exercises.layer_mutants import BATCH_NORMS, LAYER_NORMS
from common.tests.exercises.opening_mutants import MUTANTS as OPENING
from common.tests.exercises.rarer_mutants import RARER

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
    "tokens": checks.check_token_norm,
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
    ("comes back as float64", in_float64_out, ("wrong dtype",)),
    ("distances not squared", absolute_deviation, ("not squared",)),
    ("root squared", root_squared, ("infinite slope",)),
    ("quotients squared", scaled_squares, ("0/0 is NaN",)),
    ("statistics kept between calls", kept_between_calls, ("from one call to the next",)),
]
WRONG_ENDS = [
    ("eps outside the root", eps_outside, ("outside the root",)),
    ("eps missing", eps_missing, ("eps is missing",)),
    ("eps fixed", eps_fixed, ("fixed at 1e-5",)),
    ("no root", no_root, ("square root",)),
    ("mean not subtracted", no_centring, ("not subtracted",)),
    ("eps inside and outside", eps_twice, ("inside and outside",)),
    ("eps doubled", eps_doubled, ("once is enough",)),
    ("eps added to the quotient", eps_after, ("to the quotient",)),
    ("eps squared", eps_squared, ("eps is squared",)),
    ("brackets missing", no_brackets, ("brackets are missing: x − mean",)),
    ("wrong sign", wrong_sign, ("not mean − x",)),
    ("mean added", mean_added, ("the mean is added",)),
    ("centred only", only_centred, ("nothing is divided",)),
    ("multiplied by the deviation", multiplied, ("you multiply",)),
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
    ("beta subtracted", beta_subtracted, ("beta is subtracted",)),
    ("1 added to gamma", one_plus_gamma, ("has 1 added",)),
    ("divided by gamma", divided_by_gamma, ("gamma divides",)),
    ("absolute gamma", absolute_gamma, ("loses its sign",)),
    ("gamma through relu", relu_gamma, ("clamped at 0",)),
    ("output clamped", clamped_output, ("result is clamped",)),
    ("output through relu", relu_output, ("goes through relu",)),
    ("output in float64", double_output, ("wrong dtype",)),
    ("axes in another order", channels_last_output, ("axes are in another order",)),
    ("output flattened", flat_output, ("reshape the result back",)),
]
WRONG_SETS = {
    "batch": ["instance", "image", "everything", "position", "channels"],
    "group": ["interleaved", "group of the batch", "instance", "image", "batch", "channels"],
    "image": ["batch", "instance", "channels", "everything", "position"],
    "channels": ["batch", "instance", "image", "everything", "position"],
    "tokens": ["sequence", "all tokens", "text"],
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
    "sequence": ("over T;",),
    "all tokens": ("over B and T;",),
    "text": ("over T and D;",),
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
    ("standard deviation", "batch", (_MEAN, 1.158, -1.34, 0.56), ("not its root",)),
    ("groups of 4", "group", (64, 1024, 64), ("not of the channels in one",)),
    ("running statistics", "group", (32, 2048, 128), ("no running statistics",)),
    ("a gamma a pixel", "layer", (2048, 128, 32, 512), ("all pixels share them",)),
    ("a mean a value", "layer", (2048, 32, 32, 8192), ("the number of values",)),
    ("answers for 7", "batch", (_MEAN, _VAR, 1.34, 5.27), ("what 7 becomes?",)),
    ("eval mode for 7", "batch", (_MEAN, _VAR, -1.34, 5.27), ("what 7 becomes, not 1",)),
    ("decimal commas", "batch", (0, 4, 1, 57, -1, 34, 0, 48), ("a comma parts",)),
    ("a text", "group", "32, 2048, 64", ("not a text",)),
    ("one mean", "group", (1, 2048, 64), ("has a mean of its own",)),
    ("means of groups and channels", "group", (128, 2048, 64), ("not one channel's",)),
    ("channels in S", "group", (32, 8, 64), ("all their pixels",)),
    ("the batch in S", "group", (32, 65536, 64), ("one group of one image",)),
    ("a gamma an image", "group", (32, 2048, 512), ("all images share",)),
    ("a sum of lengths", "layer", (64, 32, 32, 512), ("not a sum",)),
    ("no number", "layer", (2048, 32, 32, "many"), ("give a number",)),
    ("one layer", "depth", (2, 1, 2), ("that is one layer",)),
    ("a quarter a layer", "depth", (4**20, 1, 2), ("ReLU passes a factor on",)),
    ("a root a layer", "depth", (2**10, 1, 2), ("ReLU passes a factor on",)),
    ("xor for a power", "depth", (22, 1, 2), ("^ is no power",)),
    ("a million", "depth", (10**6, 1, 2), ("a count is exact",)),
    ("section 4's layers", "depth", (2**24, 1, 2), ("network of 24 layers",)),
    ("factors added", "depth", (40, 1, 2), ("factors multiply",)),
    ("a layer forgotten", "depth", (2**19, 1, 2), ("once more",)),
    ("the factor itself", "depth", (2**-20, 1, 2), ("how many times *smaller*",)),
    ("norm at the end only", "depth", (2**20, 2, 2), ("divides by the spread",)),
    ("norms do not help", "depth", (2**20, 2**20, 2), ("gone at once",)),
    ("the same gradient", "depth", (2**20, 1, 1), ("twice as much",)),
    ("gradient halved", "depth", (2**20, 1, 0.5), ("the other way round",)),
    ("gradient of all layers", "depth", (2**20, 1, 2**20), ("undone by their norms",)),
    ("a group's parameters", "group", (32, 2048, 16), ("these are one group's",)),
    ("a gamma an image", "layer", (2048, 256, 32, 512), ("all images share gamma_c",)),
    ("a gamma an image of a group", "layer", (2048, 32, 256, 512), ("all images share gamma_c",)),
    ("one row of S", "group", (32, 128, 64), ("H and W are two axes",)),
    ("lengths added", "group", (32, 40, 64), ("as many as there are positions",)),
    ("pixels added", "group", (32, 264, 64), ("has its pixels",)),
    ("parameters times G", "group", (32, 2048, 256), ("multiply nothing",)),
]
PREDICTION_CHECKS = {
    "batch": checks.check_batch_norm_prediction,
    "group": checks.check_group_norm_prediction,
    "layer": checks.check_layer_norm_prediction,
    "depth": checks.check_depth_prediction,
}


# All of them


def as_asked(layout, answer):
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
            name, NORMS[layout], as_asked(layout, norm_answer(layout, statistics=mistake)), words
        )
        for name, mistake, words in WRONG_STATISTICS
        for layout in NORMS
    ),
    *(
        Mutant(name, NORMS[layout], as_asked(layout, norm_answer(layout, finish=mistake)), words)
        for name, mistake, words in WRONG_ENDS
        for layout in NORMS
    ),
    *(
        Mutant(name, NORMS[layout], as_asked(layout, norm_answer(layout, affine=mistake)), words)
        for name, mistake, words in WRONG_AFFINES
        for layout in NORMS
    ),
    *(
        Mutant(
            f"wrong S: {wrong}",
            NORMS[layout],
            as_asked(layout, norm_answer(wrong, asked=layout)),
            WORDS_OF_SETS[wrong],
        )
        for layout in NORMS
        for wrong in WRONG_SETS[layout]
    ),
    *(
        Mutant(
            "gamma and beta applied first",
            NORMS[layout],
            as_asked(layout, affine_first(layout)),
            ("normalise first",),
        )
        for layout in NORMS
    ),
    *SINGLE,
    *FUNCTIONS,
    *CLINIC,
    *OPENING,
    *ERRORS,
    *RARER,
    *HALF_REPAIRED,
    *(Mutant(n, checks.check_layer_norm, cls, words) for n, cls, words in LAYER_NORMS),
    *(Mutant(n, checks.check_batch_norm_layer, cls, words) for n, cls, words in BATCH_NORMS),
    *(
        Mutant(name, PREDICTION_CHECKS[lesson], lambda numbers=numbers: numbers, words)
        for name, lesson, numbers, words in PREDICTIONS
    ),
]
