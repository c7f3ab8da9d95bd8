"""The clinic's scripts, broken and repaired in several ways."""

from __future__ import annotations

import copy
import random
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from common import exercises as checks
from common.tests.exercises.answers import Mutant, Variant


def norms(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


# Freezing


def freeze(network):
    for norm in norms(network):
        norm.eval()
        norm.requires_grad_(False)


def freeze_and_replace_train(network):
    """So that even a later .train() does not undo it."""
    for norm in norms(network):
        norm.train(False)
        norm.train = lambda mode=True, norm=norm: norm
        norm.weight.requires_grad = norm.bias.requires_grad = False


def freeze_by_apply(network):
    def one(layer):
        if "BatchNorm" in type(layer).__name__:
            layer.eval()
            for parameter in layer.parameters():
                parameter.requires_grad = False

    return network.apply(one)


def freeze_gradients(network):
    for norm in norms(network):
        norm.requires_grad_(False)


def freeze_statistics_only(network):
    for norm in norms(network):
        norm.eval()


def freeze_children(network):
    for layer in network.children():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval().requires_grad_(False)


def freeze_everything(network):
    network.requires_grad_(False)
    for norm in norms(network):
        norm.eval()


def freeze_whole_mode(network):
    freeze(network)
    network.eval()


def freeze_momentum(network):
    for norm in norms(network):
        norm.momentum = 0
        norm.requires_grad_(False)


def freeze_first_layer(network):
    freeze(network)
    network.first.requires_grad_(False)


def freeze_out(network):
    network.norm = network.block[1][0] = nn.Identity()


def freeze_and_reset(network):
    freeze(network)
    for norm in norms(network):
        norm.reset_running_stats()


def freeze_by_identity(network):
    for layer in network.modules():
        if layer is nn.BatchNorm2d:
            layer.eval().requires_grad_(False)


def brackets_forgotten(network):
    for norm in norms(network):
        norm.eval  # noqa: B018
        norm.requires_grad_(False)


FREEZE = [
    ("brackets forgotten", brackets_forgotten, ("have no say",)),
    ("requires_grad=False alone", freeze_gradients, ("have no say",)),
    ("gamma and beta still learn", freeze_statistics_only, ("requires_grad_(False) for both",)),
    ("top level only", freeze_children, ("inside blocks",)),
    ("everything frozen", freeze_everything, ("only gamma and beta",)),
    ("the whole network in eval mode", freeze_whole_mode, ("not on the whole network",)),
    ("momentum 0", freeze_momentum, ("with momentum=0",)),
    ("a copy", lambda network: copy.deepcopy(network).eval(), ("no copy",)),
    ("a convolution frozen, too", freeze_first_layer, ("only the norms are to",)),
    ("nothing", lambda network: None, ("does your loop find them",)),
    ("no norm found", freeze_by_identity, ("does your loop find them",)),
    ("train() afterwards", lambda network: freeze(network) or network.train(), ("have no say",)),
    ("norms taken out", freeze_out, ("they are to stay",)),
    ("statistics reset", freeze_and_reset, ("no reset",)),
]


# An epoch with frozen norms


def epoch(
    before=lambda network: [network.train(), *(n.eval() for n in norms(network))],
    each=lambda network: None,
    after=lambda network: None,
    step=True,
    zero=True,
    loss=F.cross_entropy,
):
    def train_epoch(network, batches, optimiser):
        before(network)
        for x, y in batches:
            each(network)
            if zero:
                optimiser.zero_grad()
            loss(network(x), y).backward()
            if step:
                optimiser.step()
        after(network)

    return train_epoch


def thaw(network):
    network.train()
    for norm in norms(network):
        norm.eval().requires_grad_(True)


def restore(network, batches, optimiser):
    """Leaves the statistics as they were, but has trained with others."""
    before = {k: v.clone() for k, v in network.state_dict().items() if "norm" in k or "1.0" in k}
    epoch(lambda network: network.train())(network, batches, optimiser)
    network.load_state_dict(before, strict=False)


def own_optimiser(network, batches, optimiser):
    epoch()(network, batches, torch.optim.SGD(network.parameters(), 0.1))


def one_step(network, batches, optimiser):
    epoch(step=False)(network, batches, optimiser)
    optimiser.step()


def wake_the_block(network):
    network.train()
    network.norm.eval()


def cleared_at_the_end(network, batches, optimiser):
    network.train()
    for norm in norms(network):
        norm.eval()
    for x, y in batches:
        F.cross_entropy(network(x), y).backward()
        optimiser.step()
        optimiser.zero_grad()


def cleared_too_early(network, batches, optimiser):
    network.train()
    for norm in norms(network):
        norm.eval()
    for x, y in batches:
        F.cross_entropy(network(x), y).backward()
        optimiser.zero_grad()
        optimiser.step()


def step_too_early(network, batches, optimiser):
    network.train()
    for norm in norms(network):
        norm.eval()
    for x, y in batches:
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), y)
        optimiser.step()
        loss.backward()


def train_a_copy(network, batches, optimiser):
    twin = copy.deepcopy(network)
    epoch()(twin, batches, torch.optim.SGD(twin.parameters(), 0.1))


def in_any_order(network, batches, optimiser):
    """Augmented, too: nobody knows these images any more."""
    order = torch.randperm(len(batches)).tolist()
    some = [batches[k] for k in order[:2]] + [(x + 0.1, y) for x, y in [batches[order[2]]]]
    epoch()(network, some, optimiser)


def cross_entropy_by_hand(z, y):
    return -z.log_softmax(1).gather(1, y[:, None]).sum()


OWN = ("own labels",)


def found_by_name(network):
    network.train()
    for name, layer in network.named_modules():
        if "bn" in name:
            layer.eval()


def still_by_momentum(network):
    network.train()
    for norm in norms(network):
        norm.momentum = 0.0


EPOCHS = [
    ("uphill", epoch(loss=lambda z, y: -F.cross_entropy(z, y)), ("sign of the loss",)),
    *(
        (f"all of class {c}", epoch(loss=lambda z, y, c=c: F.cross_entropy(z, 0 * y + c)), OWN)
        for c in range(3)
    ),
    ("no labels", epoch(loss=lambda z, y: z.mean()), ("own labels",)),
    ("squares", epoch(loss=lambda z, y: z.square().mean()), ("own labels",)),
    ("labels as numbers", epoch(loss=lambda z, y: F.mse_loss(z[:, 0], y.float())), ("own labels",)),
    ("relu first", epoch(loss=lambda z, y: F.cross_entropy(z.relu(), y)), ("no relu",)),
    ("labels of others", epoch(loss=lambda z, y: F.cross_entropy(z, y.roll(1))), ("own labels",)),
    ("two softmaxes", epoch(loss=lambda z, y: F.cross_entropy(z.softmax(1), y)), ("no softmax",)),
    ("a sigmoid first", epoch(loss=lambda z, y: F.cross_entropy(z.sigmoid(), y)), ("no sigmoid",)),
    ("no logarithm", epoch(loss=lambda z, y: F.nll_loss(z.softmax(1), y)), ("takes logarithms",)),
    ("no softmax", epoch(loss=F.nll_loss), ("takes logarithms",)),
    ("arguments swapped", epoch(loss=lambda z, y: F.cross_entropy(y, z)), ("arguments swapped",)),
    ("cleared before the step", cleared_too_early, ("must not clear them",)),
    ("step before backward", step_too_early, ("must not clear them",)),
    ("a copy trained", train_a_copy, ("nobody else sees a copy",)),
    (
        "a copy returned",
        lambda network, *_: copy.deepcopy(network),
        ("in place: no copy",),
    ),
    ("gradients add up", epoch(zero=False), ("zero_grad",)),
    ("an optimiser of its own", own_optimiser, ("not that of a new one",)),
    ("train() undoes eval()", epoch(lambda network: network.train()), ("not by a name",)),
    ("by a name", epoch(found_by_name), ("not by a name",)),
    ("never train()", epoch(lambda network: None), ("trains in train mode",)),
    ("train() in each step", epoch(each=lambda network: network.train()), ("not by a name",)),
    (
        "frozen after the epoch",
        epoch(lambda n: n.train(), after=lambda n: [m.eval() for m in norms(n)]),
        ("afterwards is too late",),
    ),
    ("put back afterwards", restore, ("are as they were",)),
    ("momentum 0", epoch(still_by_momentum), ("are as they were",)),
    ("no step", epoch(step=False), ("optimiser.step()",)),
    ("gamma and beta thawed", epoch(thaw), ("came with requires_grad=False",)),
    ("one step for all", one_step, ("inside the loop",)),
    ("top level only", epoch(wake_the_block), ("inside blocks",)),
    ("no loop", lambda network, batches, optimiser: None, ("loop over the batches",)),
    (
        "first batch only",
        lambda network, batches, optimiser: epoch()(network, batches[:1], optimiser),
        ("one step a batch",),
    ),
]


# Stale statistics


def estimate(reset=True, momentum=None, back=True, train=True, stop=None, blocks=True, learn=False):
    @torch.no_grad()
    def re_estimate(network, batches):
        network.train(train)
        found = norms(network) if blocks else [network.norm]
        momenta = [norm.momentum for norm in found]
        for norm in found:
            if reset:
                norm.reset_running_stats()
            norm.momentum = momentum
        for x in batches[:stop]:
            network(x)
        if learn:
            network.first.weight.mul_(1.001)
        for norm, old in zip(found, momenta, strict=True):
            if back:
                norm.momentum = 0.1 if back == "fixed" else old
        network.eval()

    return re_estimate


@torch.no_grad()
def momentum_back_too_early(network, batches):
    momenta = [(norm, norm.momentum) for norm in norms(network)]
    for norm, _ in momenta:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for x in batches:
        network(x)
        for norm, momentum in momenta:
            norm.momentum = momentum
    network.eval()


def left_in_train_mode(network, batches):
    estimate()(network, batches)
    network.train()


def reset_too_much(network, batches):
    for norm in norms(network):
        norm.reset_parameters()
    estimate()(network, batches)


@torch.no_grad()
def estimate_in_one_batch(network, batches):
    network.train()
    momenta = [(norm, norm.momentum) for norm in norms(network)]
    for norm, _ in momenta:
        norm.momentum = 1.0
    network(torch.cat(batches))
    for norm, momentum in momenta:
        norm.momentum = momentum
    network.eval()


def estimate_with_hooks(network, batches):
    """By hand, layer by layer."""
    network.eval()
    for norm in norms(network):
        inputs = []
        hook = norm.register_forward_hook(lambda _, i, o, inputs=inputs: inputs.append(i[0]))
        with torch.no_grad():
            for x in batches:
                network(x)
        hook.remove()
        values = torch.cat(inputs)
        norm.running_mean.copy_(values.mean((0, 2, 3)))
        norm.running_var.copy_(values.var((0, 2, 3)))


@torch.no_grad()
def reset_in_the_loop(network, batches):
    for x in batches:
        for norm in norms(network):
            norm.reset_running_stats()
        estimate()(network, [x])


def variances_of_a_fresh_layer(network, batches):
    estimate()(network, batches)
    for norm in norms(network):
        norm.running_var.fill_(1)


def parameters_stopped(network, batches):
    network.requires_grad_(False)
    estimate()(network, batches)


def gamma_stopped(network, batches):
    estimate()(network, batches)
    network.norm.weight.requires_grad = False


def tracking_switched_off(network, batches):
    estimate()(network, batches)
    for norm in norms(network):
        norm.track_running_stats = False


def estimate_in_rounds(network, batches):
    estimate(reset=False, momentum=0.1)(network, batches * 3)


def estimate_by_half(network, batches):
    estimate(reset=False, momentum=0.5)(network, [torch.cat(batches)])


def statistics_of_the_images(network, batches):
    x = torch.cat(batches)
    for norm in norms(network):
        norm.running_mean.fill_(x.mean().item()), norm.running_var.fill_(x.var().item())
    network.eval()


def reset_by_hand(network, batches):
    for norm in norms(network):
        norm.running_mean.zero_(), norm.running_var.fill_(1)
    estimate(reset=False)(network, batches)


def in_many_rounds(rounds, reset=True):
    """At the layers' own momentum."""

    @torch.no_grad()
    def re_estimate(network, batches):
        network.train()
        for norm in norms(network):
            if reset:
                norm.reset_running_stats()
        for x in batches * rounds:
            network(x)
        network.eval()

    return re_estimate


def estimate_by_count(first):
    """With the momenta 1 / first, 1 / (first + 1) and so on."""

    @torch.no_grad()
    def re_estimate(network, batches):
        network.train()
        momenta = [(norm, norm.momentum) for norm in norms(network)]
        for norm, _ in momenta:
            norm.reset_running_stats()
        for k, x in enumerate(batches, first):
            for norm, _ in momenta:
                norm.momentum = 1 / k
            network(x)
        for norm, momentum in momenta:
            norm.momentum = momentum
        network.eval()

    return re_estimate


@torch.no_grad()
def estimate_behind_stale_norms(network, batches):
    """All layers by hand in a single pass, in eval mode."""
    network.eval()
    inputs = {norm: [] for norm in norms(network)}
    for norm, seen in inputs.items():
        norm.register_forward_hook(lambda _, i, o, seen=seen: seen.append(i[0]))
    for x in batches:
        network(x)
    for norm, seen in inputs.items():
        norm.running_mean.copy_(torch.cat(seen).mean((0, 2, 3)))
        norm.running_var.copy_(torch.cat(seen).var((0, 2, 3)))


def trained_meanwhile(network, batches):
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    estimate()(network.train(), batches)
    for x in batches:
        network(x).sum().backward()
        optimiser.step()


ESTIMATES = [
    ("momentum back too early", momentum_back_too_early, ("behind the loop",)),
    ("reset by hand", reset_by_hand, ("num_batches_tracked",)),
    ("trained meanwhile", trained_meanwhile, ("no optimiser",)),
    ("of the images", statistics_of_the_images, ("one number stands for all",)),
    ("parameters stopped", parameters_stopped, ("and leaves the parameters",)),
    ("gamma stopped", gamma_stopped, ("and leaves the parameters",)),
    ("tracking switched off", tracking_switched_off, ("only the running statistics",)),
    ("last batch left out", estimate(stop=-1), ("only 1, 2 and 3 count",)),
    (
        "every second batch",
        lambda network, batches: estimate()(network, batches[::2]),
        ("only 1 and 3 count",),
    ),
    ("momentum of a quarter", estimate(momentum=0.25), ("with momentum 0.25",)),
    ("momentum 0", estimate(momentum=0), ("nothing moves",)),
    ("counted from 2", estimate_by_count(2), ("like one more batch",)),
    ("momentum 0.3", estimate(momentum=0.3), ("with momentum 0.3",)),
    ("five rounds after a reset", in_many_rounds(5), ("further rounds",)),
    ("20 rounds after a reset", in_many_rounds(20), ("further rounds",)),
    ("100 rounds, no reset", in_many_rounds(100, reset=False), ("further rounds",)),
    ("behind stale norms", estimate_behind_stale_norms, ("as long as the first one",)),
    ("momentum of a half", estimate(momentum=0.5), ("with momentum 0.5",)),
    (
        "first batch left out",
        lambda network, batches: estimate()(network, batches[1:]),
        ("only 2, 3 and 4 count",),
    ),
    ("three rounds", estimate_in_rounds, ("are the old statistics",)),
    ("half and half", estimate_by_half, ("are the old statistics",)),
    ("reset in the loop", reset_in_the_loop, ("only the last batch",)),
    ("variances lost", variances_of_a_fresh_layer, ("that of a fresh layer",)),
    ("no reset, momentum 0.1", estimate(reset=False, momentum=0.1), ("old statistics still",)),
    ("reset, momentum 0.1", estimate(momentum=0.1), ("reset is not enough",)),
    ("momentum 1", estimate(momentum=1.0), ("only the last batch",)),
    ("first batch only", estimate(stop=1), ("only the first batch",)),
    ("in eval mode", estimate(reset=False, train=False), ("have not moved",)),
    ("reset alone", estimate(stop=0), ("in train mode, network.train()",)),
    ("momentum not set back", estimate(back=False), ("set each back",)),
    ("reset, but in eval mode", estimate(train=False), ("in train mode, network.train()",)),
    ("one norm only", estimate(blocks=False), ("only one norm",)),
    ("weights changed", estimate(learn=True), ("no optimiser",)),
    ("left in train mode", left_in_train_mode, ("end with network.eval()",)),
    ("old batches counted", estimate(reset=False), ("starts the count anew",)),
    ("momentum set to 0.1", estimate(back="fixed"), ("set each back",)),
    ("gamma and beta reset", reset_too_much, ("no optimiser",)),
    ("a copy", lambda network, batches: copy.deepcopy(network), ("no copy",)),
]


# Batches


def mixed(images, labels, size):
    order = torch.randperm(len(images))
    return [(images[k], labels[k]) for k in order.split(size)]


def by_loader(images, labels, size):
    data = torch.utils.data.TensorDataset(images, labels)
    return torch.utils.data.DataLoader(data, size, shuffle=True)


def same_order(images, labels, size):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    return [(images[k], labels[k]) for k in order.split(size)]


def in_order(images, labels, size):
    return list(zip(images.split(size), labels.split(size), strict=True))


def batches_mixed(images, labels, size):
    batches = in_order(images, labels, size)
    return [batches[k] for k in torch.randperm(len(batches))]


def labels_stay(images, labels, size):
    order = torch.randperm(len(images))
    return list(zip(images[order].split(size), labels.split(size), strict=True))


def drawn(images, labels, size):
    order = torch.randint(len(images), (len(images),))
    return [(images[k], labels[k]) for k in order.split(size)]


def mix_the_data(images, labels, size):
    order = torch.randperm(len(images))
    images[:], labels[:] = images[order], labels[order]
    return in_order(images, labels, size)


def turned(images, labels, size):
    start = 5 + 10 * int(torch.randint(4, ()))
    return in_order(images.roll(start, 0), labels.roll(start), size)


def mixed_in_halves(images, labels, size):
    half = len(images) // 2
    order = torch.cat([torch.randperm(half), half + torch.randperm(half)])
    return [(images[k], labels[k]) for k in order.split(size)]


def indices(images, labels, size):
    return [(k, labels[k]) for k in torch.randperm(len(images)).split(size)]


def one_by_one(images, labels, size):
    return [(images[k], labels[k]) for k in torch.randperm(len(images))]


def overlapping(images, labels, size):
    order = torch.randperm(len(images))
    parts = [order[k : k + size] for k in range(len(images) - size + 1)]
    return [(images[k], labels[k]) for k in parts]


def shuffled_to_none(images, labels, size):
    order = random.shuffle(list(range(len(images))))
    return [(images[k], labels[k]) for k in order.split(size)]


def tensor_shuffled(images, labels, size):
    order = torch.arange(len(images))
    random.shuffle(order)
    return [(images[k], labels[k]) for k in order.split(size)]


def permutation_too_short(images, labels, size):
    order = torch.randperm(size)
    return list(zip(images[order].split(size), labels[order].split(size), strict=True))


MIXED = [
    ("permutation too short", permutation_too_short, ("is the permutation too short",)),
    ("turned", turned, ("stay among their like",)),
    ("mixed in halves", mixed_in_halves, ("stay among their like",)),
    ("indices", indices, ("are these the indices",)),
    ("one by one", one_by_one, ("several images to make a batch",)),
    ("in order", in_order, ("Mix the images",)),
    ("batches mixed", batches_mixed, ("Mix the images",)),
    ("labels stay", labels_stay, ("one and the same permutation",)),
    ("drawn with repetition", drawn, ("that overlap",)),
    ("a tensor shuffled", tensor_shuffled, ("that overlap",)),
    ("same order every time", same_order, ("mix anew",)),
    ("one batch alone", lambda *a: mixed(*a)[:1], ("only one batch",)),
    ("overlapping", overlapping, ("that overlap",)),
    ("None", shuffled_to_none, ("gives nothing back",)),
    ("one batch short", lambda *a: mixed(*a)[:-1], ("each image comes once",)),
    ("another size", lambda x, y, size: mixed(x, y, size // 2), ("use size",)),
    ("no pairs", lambda x, y, size: x.split(size), ("a list of (images",)),
    ("nothing", lambda x, y, size: None, ("return line",)),
    ("labels first", lambda *a: [pair[::-1] for pair in mixed(*a)], ("(images, labels)",)),
    ("data changed", mix_the_data, ("write over the old ones",)),
    ("images scaled", lambda x, y, size: mixed(x / 255, y, size), ("as they are",)),
]


def joined(images, labels, size):
    parts = list(torch.arange(len(images)).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return [(images[k], labels[k]) for k in parts]


def dropped(images, labels, size):
    return [(x, y) for x, y in in_order(images, labels, size) if len(x) > 1]


def drop_last(images, labels, size):
    return [(x, y) for x, y in in_order(images, labels, size) if len(x) == size]


def doubled(images, labels, size):
    return [
        (x, y) if len(x) > 1 else (x.repeat(2, 1, 1, 1), y.repeat(2))
        for x, y in in_order(images, labels, size)
    ]


def labels_left_out(images, labels, size):
    return [(x, y[:size]) for x, y in joined(images, labels, size)]


def squeezed(images, labels, size):
    return [(x.squeeze(0), y) for x, y in in_order(images, labels, size)]


def joined_and_kept(images, labels, size):
    batches = in_order(images, labels, size)
    if len(batches) > 1 and len(batches[-1][0]) == 1:
        batches[-2] = tuple(torch.cat(pair) for pair in zip(*batches[-2:], strict=True))
    return batches


def too_few_parts(images, labels, size):
    number = len(images) // size
    return list(zip(images.tensor_split(number), labels.tensor_split(number), strict=True))


def refused(images, labels, size):
    assert len(images) % size != 1, "a batch of one"
    return in_order(images, labels, size)


def joined_always(images, labels, size, few=0):
    """Whatever is left over joins the batch before, unless there are only a few."""
    batches = in_order(images, labels, size)
    if len(batches) > few and len(batches[-1][0]) < size:
        rest = batches.pop()
        batches[-1] = tuple(torch.cat(pair) for pair in zip(batches[-1], rest, strict=True))
    return batches


def crash_for_few(images, labels, size):
    if len(images) == 3:
        return {}[len(images)]
    return joined(images, labels, size)


def filled_up(images, labels, size):
    more = -len(images) % size
    images = torch.cat([images, images.new_zeros(more, *images.shape[1:])])
    return in_order(images, torch.cat([labels, labels.new_zeros(more)]), size)


def one_less_if_odd(images, labels, size):
    even = len(images) // 2 * 2
    return in_order(images[:even], labels[:even], size)


def stacked(images, labels, size):
    *batches, (x, y), (z, w) = in_order(images, labels, size)
    return [*batches, (torch.stack([x, z]), torch.stack([y, w]))]


def tuple_changed(images, labels, size):
    batches = in_order(images, labels, size)
    batches[-2][0] = torch.cat([batches[-2][0], batches[-1][0]])
    return batches


def shared(images, labels, size):
    """A left-over of one is given an image of the batch before."""
    parts = list(torch.arange(len(images)).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 and size > 2:
        parts[-2:] = parts[-2][:-1], torch.cat([parts[-2][-1:], parts[-1]])
    return [(images[k], labels[k]) for k in parts if len(k) > 1]


def one_alone(images, labels, size):
    return [pair for pair in in_order(images, labels, size) if len(pair[0]) == 1]


def more_than_two(images, labels, size):
    return [pair for pair in in_order(images, labels, size) if len(pair[0]) > 2]


def multiple_of_size(images, labels, size, always=True):
    """The images in order, without those that the last whole batch leaves over."""
    over = len(images) % size
    if over or always:
        images, labels = images[:-over], labels[:-over]
    return in_order(images, labels, size)


def multiple_if_any_over(images, labels, size):
    return multiple_of_size(images, labels, size, always=False)


def one_slice_more(images, labels, size):
    starts = range(0, len(images) + 1, size)
    pairs = [(images[k : k + size], labels[k : k + size]) for k in starts]
    return [pair for pair in pairs if len(pair[0]) != 1]


ONE = [
    ("an empty slice", multiple_of_size, ("order[:-0]",)),
    ("a small set cut off", multiple_if_any_over, ("is all of a small set",)),
    ("one slice more", one_slice_more, ("behind the last image",)),
    ("one alone", one_alone, ("the wrong way round",)),
    ("more than two", more_than_two, ("a condition too strict",)),
    ("joined and kept", joined_and_kept, ("leaves the list",)),
    ("for an odd number alone", one_less_if_odd, ("Drop a left-over",)),
    ("stacked", stacked, ("torch.cat joins parts",)),
    ("a tuple changed", tuple_changed, ("cannot be changed in a part",)),
    ("axis lost", squeezed, ("no squeeze",)),
    ("no part at all", too_few_parts, ("max(1, …)",)),
    ("refused", refused, ("assert or a raise of your own",)),
    ("joined to none", joined_always, ("its len()",)),
    ("crash for two of three", crash_for_few, ("torch.randn(3, 3, 2, 2)",)),
    ("filled up with zeros", filled_up, ("to fill a batch",)),
    ("left-over of one", in_order, ("Drop a left-over",)),
    ("drop_last always", drop_last, ("small set",)),
    ("doubled", doubled, ("no copies",)),
    ("labels not joined", labels_left_out, ("both alike",)),
    ("a whole batch dropped", lambda *a: dropped(*a)[:-1] or dropped(*a), ("at most a left-over",)),
    ("one large batch", lambda x, y, size: [(x, y)], ("no more than the left-over",)),
    ("size + 1", lambda x, y, size: in_order(x, y, size + 1), ("use size",)),
    ("size − 1", lambda x, y, size: dropped(x, y, size - 1), ("use size",)),
    ("an empty list", lambda x, y, size: [], ("stays empty",)),
    ("no longer mixed", dropped, ("Mix the images",)),
]


def evenly(images, labels, size):
    number = max(1, len(images) // size)
    return list(zip(images.tensor_split(number), labels.tensor_split(number), strict=True))


def of_mixed(make_batches):
    """The same batches, of images in another order."""

    def mixed_first(images, labels, size):
        order = torch.randperm(len(images))
        return make_batches(images[order], labels[order], size)

    return mixed_first


# Channels in another order


def load(conv=True, norm=True, running=True, head=True, bias=True, inverse=False, leave=" "):
    def loaded(network, state, order):
        if inverse:
            order = order.argsort()
        new = {}
        for name, value in state.items():
            in_order = value
            if leave in name:
                pass
            elif norm == "inverse" and name.startswith("norm") and value.dim():
                in_order = value[order.argsort()]
            elif (
                (name == "conv.weight" and conv)
                or (name == "conv.bias" and conv and bias)
                or (name.startswith("norm") and norm and ("running" not in name or running))
            ):
                in_order = value[order] if value.dim() else value
            elif name == "head.weight" and head:
                in_order = value[:, order]
            new[name] = in_order
        network.load_state_dict(new)

    return loaded


def load_by_selecting(network, state, order):
    new = dict(state)
    for name in ("conv.weight", "conv.bias", *(f"norm.{n}" for n in NORM)):
        new[name] = state[name].index_select(0, order)
    new["head.weight"] = state["head.weight"].index_select(1, order)
    network.load_state_dict(new)


def load_in_place(network, state, order):
    with torch.no_grad():
        for k, source in enumerate(order):
            for name in ("conv.weight", "conv.bias", *(f"norm.{n}" for n in NORM)):
                network.state_dict()[name][k] = state[name][source]
            network.head.weight[:, k] = state["head.weight"][:, source]
        network.head.bias.copy_(state["head.bias"])


NORM = ("weight", "bias", "running_mean", "running_var")


def change_the_state(network, state, order):
    for name in state:
        if name.startswith(("conv", "norm")) and state[name].dim():
            state[name] = state[name][order]
    state["head.weight"] = state["head.weight"][:, order]
    network.load_state_dict(state)


def turn_inputs(network, state, order):
    load()(network, state, order)
    with torch.no_grad():
        network.conv.weight.copy_(network.conv.weight.flip(1))


def turn_outputs(network, state, order):
    load()(network, state, order)
    with torch.no_grad():
        network.head.weight.copy_(state["head.weight"].flip(0))


def turn_bias(network, state, order):
    load()(network, state, order)
    with torch.no_grad():
        network.head.bias.copy_(state["head.bias"].flip(0))


def load_twice(network, state, order):
    load()(network, state, order[order])


def load_backwards(network, state, order):
    load()(network, state, torch.tensor([3, 2, 1, 0]))


def load_and_reset(network, state, order):
    load()(network, state, order)
    network.norm.reset_running_stats()


def load_and_clear(network, state, order):
    load()(network, state, order)
    nn.init.zeros_(network.head.bias)


def load_exchanged(network, state, order):
    load()(network, state, order)
    norm = network.norm
    norm.running_mean, norm.running_var = norm.running_var.clone(), norm.running_mean.clone()


def load_its_own(network, state, order):
    load()(network, network.state_dict(), order)


def load_a_copy(network, state, order):
    network = copy.deepcopy(network)
    load()(network, state, order)
    return network


def load_by_assignment(network, state, order):
    network.conv.weight = state["conv.weight"][order]


def load_while_writing(network, state, order):
    network.load_state_dict(state)
    values = network.state_dict()
    for k, source in enumerate(order):
        for name in ("conv.weight", "conv.bias", *(f"norm.{n}" for n in NORM)):
            values[name][k] = values[name][source]
        values["head.weight"][:, k] = values["head.weight"][:, source]


def a_name_left_out(network, state, order):
    network.load_state_dict({name: state[name] for name in ("conv.weight", "conv.bias")})


def load_assigned_before(network, state, order):
    network.norm.running_mean = state["norm.running_mean"][order]
    network.norm.running_var = state["norm.running_var"][order]
    load(running=False)(network, state, order)


CROSSED = [
    ("as it is", lambda network, state, order: network.load_state_dict(state), ("order of the",)),
    ("inverse order", load(inverse=True), ("wrong way round",)),
    ("running statistics not", load(running=False), ("in what is loaded",)),
    ("assigned before loading", load_assigned_before, ("in what is loaded",)),
    ("norm not", load(norm=False), ("the norm has channels, too",)),
    ("head not", load(head=False), ("layer behind",)),
    ("convolution only", load(norm=False, head=False), ("only the convolution follows",)),
    ("bias not", load(bias=False), ("still in the order of the file: conv.bias.",)),
    ("nothing loaded", lambda network, state, order: None, ("not loaded at all",)),
    (
        "one statistic not",
        load(leave="running_var"),
        ("still in the order of the file: norm.running_var.",),
    ),
    ("norm in the other order", load(norm="inverse"), ("the wrong way round: norm.weight",)),
    ("inputs of the first layer", turn_inputs, ("along the wrong axis: conv.weight",)),
    ("head's outputs turned", turn_outputs, ("along the wrong axis: head.weight",)),
    ("order applied twice", load_twice, ("put in order twice",)),
    ("backwards", load_backwards, ("in yet another order",)),
    ("head's bias, too", turn_bias, ("in yet another order: head.bias",)),
    ("reset afterwards", load_and_reset, ("nothing is reset",)),
    ("statistics exchanged", load_exchanged, ("norm.running_mean holds what belongs",)),
    ("overwritten while read", load_while_writing, ("overwritten while",)),
    ("a name left out", a_name_left_out, ("needs all its names",)),
    ("bias lost", load_and_clear, ("go through the names",)),
    ("its own values", load_its_own, ("not from network.state_dict()",)),
    ("a copy", load_a_copy, ("no copy",)),
    ("plain tensors", load_by_assignment, ("cannot take a parameter's place",)),
    ("state changed", change_the_state, ("make a new dict",)),
]


CASES = [
    (checks.check_frozen_statistics, FREEZE),
    (checks.check_still_frozen, EPOCHS),
    (checks.check_re_estimated_statistics, ESTIMATES),
    (checks.check_mixed_batches, MIXED),
    (checks.check_no_batch_of_one, ONE),
    (checks.check_channels_in_order, CROSSED),
]
CLINIC = [
    Mutant(name, check, answer, words) for check, cases in CASES for name, answer, words in cases
]
REPAIRED = [
    Variant("repaired", checks.check_frozen_statistics, freeze),
    Variant("train replaced", checks.check_frozen_statistics, freeze_and_replace_train),
    Variant("apply", checks.check_frozen_statistics, freeze_by_apply),
    Variant("repaired", checks.check_still_frozen, epoch()),
    Variant(
        "each step",
        checks.check_still_frozen,
        epoch(lambda n: None, each=lambda n: [n.train(), *(m.eval() for m in norms(n))]),
    ),
    Variant("repaired", checks.check_re_estimated_statistics, estimate()),
    Variant("one batch", checks.check_re_estimated_statistics, estimate_in_one_batch),
    Variant("hooks", checks.check_re_estimated_statistics, estimate_with_hooks),
    Variant("own count", checks.check_re_estimated_statistics, estimate_by_count(1)),
    Variant("repaired", checks.check_mixed_batches, mixed),
    Variant("DataLoader", checks.check_mixed_batches, by_loader),
    Variant("joined", checks.check_no_batch_of_one, of_mixed(joined)),
    Variant("dropped", checks.check_no_batch_of_one, of_mixed(dropped)),
    Variant("spread evenly", checks.check_no_batch_of_one, of_mixed(evenly)),
    Variant("shared with the batch before", checks.check_no_batch_of_one, of_mixed(shared)),
    Variant(
        "any left-over joined",
        checks.check_no_batch_of_one,
        of_mixed(partial(joined_always, few=1)),
    ),
    Variant("batches in any order", checks.check_still_frozen, in_any_order),
    *(
        Variant("another loss", checks.check_still_frozen, epoch(loss=loss))
        for loss in (
            cross_entropy_by_hand,
            nn.CrossEntropyLoss(label_smoothing=0.2),
            F.multi_margin_loss,
            lambda z, y: F.cross_entropy(z.log_softmax(1), y),
            lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, 3).float()),
            lambda z, y: F.mse_loss(z.softmax(1), F.one_hot(y, 3).float()),
        )
    ),
    Variant("cleared at the end", checks.check_still_frozen, cleared_at_the_end),
    Variant("repaired", checks.check_channels_in_order, load()),
    Variant("in place", checks.check_channels_in_order, load_in_place),
    Variant("index_select", checks.check_channels_in_order, load_by_selecting),
]
