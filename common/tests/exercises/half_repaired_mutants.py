"""The clinic's scripts, half repaired."""

from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, Variant
from common.tests.exercises.clinic_mutants import epoch, estimate, norms

STILL, LOADED = checks.check_still_frozen, checks.check_channels_in_order
ESTIMATES = checks.check_re_estimated_statistics
NOT_LOADED = ("not loaded at all",)


def without_running_statistics(network):
    for norm in norms(network):
        norm.eval().requires_grad_(False)
        norm.running_mean = norm.running_var = None


def frozen_out_of_the_way(network):
    for norm in norms(network):
        norm.eval().requires_grad_(False)
        norm.forward = lambda x: x


def accuracy_on_the_way(network, batches, optimiser):
    network.train()
    for norm in norms(network):
        norm.eval()
    right = 0
    for x, y in batches:
        right += (network(x).argmax(1) == y).sum().item()
        optimiser.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimiser.step()
    return right


@torch.no_grad()
def estimate_from_outputs(network, batches):
    network.eval()
    for norm in norms(network):
        seen = []
        hook = norm.register_forward_hook(lambda layer, args, y, seen=seen: seen.append(y))
        for x in batches:
            network(x)
        hook.remove()
        variance, mean = torch.var_mean(torch.cat(seen), (0, 2, 3))
        norm.running_mean.copy_(mean), norm.running_var.copy_(variance)


def estimate_image_by_image(network, batches):
    estimate()(network, [image[None] for x in batches for image in x])


def old_variances_kept(network, batches):
    old = [norm.running_var.clone() for norm in norms(network)]
    estimate()(network, batches)
    for norm, variance in zip(norms(network), old, strict=True):
        norm.running_var.copy_(variance)


def mixed_and(change):
    def make_batches(images, labels, size):
        order = torch.randperm(len(images))
        return [(change(images[k]), labels[k]) for k in order.split(size)]

    return make_batches


def first_batch_dropped(images, labels, size):
    batches = list(zip(images.split(size), labels.split(size), strict=True))
    return batches[1:] if len(batches[-1][0]) == 1 else batches


def none_of_two(images, labels, size):
    n = len(images) - 2
    return [(images[k : k + size], labels[k : k + size]) for k in range(0, n, size)]


def loaded_by_other_names(network, state, order):
    network.load_state_dict({f"module.{k}": v for k, v in state.items()}, strict=False)


def loaded_into_a_copy(network, state, order):
    copy.deepcopy(network).load_state_dict(state)


def frozen_by_another_name(network):
    for norm in norms(network):
        norm.eval()
        norm.weight.require_grad = norm.bias.require_grad = False


def frozen_as_a_layer(network):
    for norm in norms(network):
        norm.eval().requires_grad = False


def asleep_afterwards(network):
    for norm in norms(network):
        norm.eval()


def estimate_in_a_copy(network, batches):
    estimate()(copy.deepcopy(network), batches)


FROZEN = checks.check_frozen_statistics
HALF_REPAIRED: list[Mutant] = [
    Mutant("require_grad", FROZEN, frozen_by_another_name, ("norm.weight.require_grad = …",)),
    Mutant("norm.requires_grad", FROZEN, frozen_as_a_layer, ("norm.requires_grad = …",)),
    Mutant(
        "asleep afterwards",
        STILL,
        epoch(before=lambda network: network.train(), after=asleep_afterwards),
        ("afterwards is too late",),
    ),
    Mutant("estimated in a copy", ESTIMATES, estimate_in_a_copy, ("nobody else sees a copy",)),
    Mutant(
        "no statistics left",
        checks.check_frozen_statistics,
        without_running_statistics,
        ("they are to stay",),
    ),
    Mutant(
        "forward replaced",
        checks.check_frozen_statistics,
        frozen_out_of_the_way,
        ("forward pass is to stay",),
    ),
    Mutant(
        "outputs detached",
        STILL,
        epoch(loss=lambda z, y: F.cross_entropy(z.detach().requires_grad_(), y)),
        ("nothing detached",),
    ),
    Mutant("from outputs", ESTIMATES, estimate_from_outputs, ("comes out of the norm",)),
    Mutant("image by image", ESTIMATES, estimate_image_by_image, ("of single images",)),
    Mutant("old variances", ESTIMATES, old_variances_kept, ("the old one",)),
    *(
        Mutant(name, checks.check_mixed_batches, mixed_and(change), ("no flip and no roll",))
        for name, change in [
            ("mirrored", lambda x: x.flip(3)),
            ("colours rolled", lambda x: x.roll(1, 1)),
        ]
    ),
    Mutant(
        "first batch dropped",
        checks.check_no_batch_of_one,
        first_batch_dropped,
        ("the last in the list",),
    ),
    Mutant(
        "two images too few", checks.check_no_batch_of_one, none_of_two, ("a condition too strict",)
    ),
    Mutant("other names", LOADED, loaded_by_other_names, NOT_LOADED),
    Mutant("a copy loaded", LOADED, loaded_into_a_copy, NOT_LOADED),
]

REPAIRED_TOO: list[Variant] = [
    Variant("accuracy on the way", STILL, accuracy_on_the_way),
]
