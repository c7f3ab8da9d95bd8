"""The clinic's case of stale running statistics, to be estimated anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch.nn import functional as F

from common.exercises.clinic_network import Network, labelled, must_not_be_copied
from common.exercises.inputs import alike
from common.exercises.learner import Learner, treat
from common.exercises.verdict import Verdict, Wrong
from common.exercises.ways import listed

_TRACKED = 100  # batches that the stale statistics have seen
_STALE = 20.0  # their mean, far from the batches'
_STALE_SPREAD = 0.01  # their variance
_STILL_COUNT = "the old statistics still count"


def check_re_estimated_statistics(re_estimate: Callable, *, reveal: bool = True) -> Verdict:
    """Check `re_estimate(network, batches)`, which renews stale running statistics, in place.

    batches: a list of images (N, 3, 6, 6). Afterwards the running statistics are those of all
    these images, nothing is left of the old ones, and nothing else has changed: neither weights
    nor any layer's momentum. The network is left in eval mode.
    """

    def trials(learner: Learner) -> None:
        network = Network()
        with torch.no_grad():
            for norm in network.norms:
                norm.running_mean.fill_(_STALE), norm.running_var.fill_(_STALE_SPREAD)
                norm.num_batches_tracked.fill_(_TRACKED)
        batches = [x for x, _ in labelled(4, shifts=(-0.6, 0.0, 0.2, 0.8))]
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        momenta = [norm.momentum for norm in network.norms]
        still = []  # what a norm with momentum 0 is given in train mode
        called = set()  # a copy's norm tells, too

        def watch(norm: torch.nn.BatchNorm2d, *_: object) -> None:
            still.append(norm.training and norm.momentum == 0)
            called.add(norm)

        network.norm.register_forward_hook(watch)
        returned = learner(network, batches)
        must_not_be_copied(network, returned, "re_estimate(network, batches)")
        for name, parameter in network.named_parameters():
            if not torch.equal(parameter, before[name]):
                raise Wrong(
                    f"The weights of {name} have changed.",
                    "no optimiser is needed here, and no reset of gamma and beta: "
                    "norm.reset_running_stats() resets the statistics alone.",
                )
        if called - {network.norm} and bool((network.norm.running_mean == _STALE).all()):
            raise Wrong(
                "A copy of the network was called, and the network itself has its old statistics.",
                "renew them in the network that is handed over: nobody else sees a copy.",
            )
        _compare_estimates(network, batches, any(still))
        if not all(parameter.requires_grad for parameter in network.parameters()):
            raise Wrong(
                "The statistics are right, but parameters no longer learn: requires_grad=False.",
                "nothing else is to change: torch.no_grad() keeps a forward pass from recording, "
                "and leaves the parameters as they are.",
            )
        if not all(norm.track_running_stats and norm.affine for norm in network.norms):
            raise Wrong(
                "The statistics are right, but other settings of the norms have changed.",
                "only the running statistics are to be renewed.",
            )
        if [norm.momentum for norm in network.norms] != momenta:
            raise Wrong(
                "The statistics are right, but the momentum of the layers has changed.",
                "set each back to what it was, or further training will average differently.",
            )
        if any(layer.training for layer in network.modules()):
            raise Wrong("The network is left in train mode.", "end with network.eval().")

    success = "Right: the statistics are those of the new images."
    return treat(re_estimate, trials, success, "" if reveal else _STILL_COUNT)


def _compare_estimates(network: Network, batches: list[torch.Tensor], still: bool) -> None:
    """Raise Wrong unless the norms' statistics are those of the batches, but for rounding.

    still: whether batches came through with a momentum of 0.
    """
    norm = network.norm
    with torch.no_grad():
        inputs = [network.first(x) for x in batches]
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs])
        variances = torch.stack([x.var((0, 2, 3)) for x in inputs])
        deviation = variances.mean(0).sqrt()
    got = norm.running_mean

    def near(mean: torch.Tensor) -> bool:
        return bool(((got - mean).abs() < 0.05 * deviation).all())

    fits = _are_those_of(norm, inputs)
    came_out = _scaled(means.mean(0), norm)
    deeper = network.block[1][0]
    if fits and any(_are_those_of(deeper, one) for one in _inside_the_block(network, inputs)):
        return
    averaged = _moved(torch.full_like(got, _STALE), means, 0.1)
    counted = (_STALE * _TRACKED + means.sum(0)) / (_TRACKED + len(means))
    from_zero = _moved(torch.zeros_like(got), means, 0.1)
    hints = [
        (
            torch.full_like(got, _STALE),
            "they have not moved: only a forward pass in train mode moves them.",
        ),
        (
            counted,
            "momentum=None averages all batches a norm has ever counted, old ones, too: "
            "norm.reset_running_stats() starts the count anew.",
        ),
        (
            averaged,
            f"{_STILL_COUNT}: with momentum 0.1 a few batches do not drown them. "
            "norm.reset_running_stats() first, and momentum=None for an average of all batches.",
        ),
        (
            from_zero,
            "reset is not enough: with momentum 0.1 the start, 0 and 1, still counts. "
            "momentum=None takes the average of all batches.",
        ),
        (
            means[-1],
            "only the last batch counts: momentum=None averages all batches since the reset, which "
            "comes before the loop.",
        ),
        (means[0], "only the first batch counts: go on through all of them."),
        *(
            (mean, "these are statistics of what comes out of the norm: those of its input count.")
            for mean in (came_out, norm.bias)
        ),
        (
            torch.zeros_like(got),
            "they are those of a fresh layer, for nothing has moved them since the reset: run the "
            "batches through after it, and in train mode, network.train().",
        ),
    ]
    hint = (
        _exactly(got, means)
        or next((hint for mean, hint in hints if near(mean)), "")
        or _share_of_the_old(got, means)
    )
    if still:
        hint = "with momentum=0 nothing moves: momentum=None takes the average of all batches."
    if fits:
        _refuse_the_block(deeper)
    name, values, right = "running_mean", got, means.mean(0)
    if alike((values,), (right,)):
        name, values, right = "running_var", norm.running_var, variances.mean(0)
        hint = _of_the_variance(values, inputs)
    at = int((values - right).abs().argmax())
    raise Wrong(
        f"At [{at}] the first {name} is {values[at]:.4g}, that of all images {right[at]:.4g}.",
        hint
        or "asked for are the mean and the variance of what reaches the norm, over all batches, "
        "and nothing of the old ones: print what you store beside x.mean((0, 2, 3)).",
    )


def _scaled(mean: torch.Tensor, norm: torch.nn.BatchNorm2d) -> torch.Tensor:
    """What the norm makes of a mean with its stale statistics."""
    return (mean - _STALE) / (_STALE_SPREAD + norm.eps) ** 0.5 * norm.weight + norm.bias


def _of_the_variance(got: torch.Tensor, inputs: list[torch.Tensor]) -> str:
    """The hint for a wrong variance beside the right mean; else ""."""
    for spread, whose in ((_STALE_SPREAD, "the old one"), (1.0, "that of a fresh layer")):
        if alike((got,), (torch.full_like(got, spread),)):
            return f"running_var is {whose}: it is renewed like running_mean."
    single = torch.stack([image.var((1, 2)) for x in inputs for image in x]).mean(0)
    if torch.allclose(got, single, rtol=1e-2):
        return (
            "that is the mean of the variances of single images: how far their means are apart is "
            "lost. Run whole batches through, network(x)."
        )
    return ""


def _are_those_of(norm: torch.nn.BatchNorm2d, inputs: list[torch.Tensor]) -> bool:
    """Whether a norm's statistics are those of all its inputs.

    The variance may be averaged over the batches, as momentum=None does, or taken of all images.
    """
    axes, together = (0, 2, 3), torch.cat(inputs)
    spreads = [torch.stack([x.var(axes) for x in inputs]).mean(0), together.var(axes)]
    distance = (norm.running_mean - together.mean(axes)).abs() / spreads[0].sqrt()
    # A running average of whatever momentum differs by far more, for the batches do.
    return bool((distance < 1e-3).all()) and any(
        # Wide enough for |S| instead of |S| − 1.
        torch.allclose(norm.running_var, spread, rtol=1e-2)
        for spread in spreads
    )


@torch.no_grad()
def _inside_the_block(network: Network, inputs: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """What may reach the norm inside the block, given the first norm's inputs.

    The first normalises each batch by itself, all as one, or all with its new statistics.
    """
    norm, conv = network.norm, network.block[0]

    def behind(x: torch.Tensor, *running: torch.Tensor) -> torch.Tensor:
        statistics = running or (None, None)
        y = F.batch_norm(x, *statistics, norm.weight, norm.bias, not running, eps=norm.eps)
        return conv(F.relu(y))

    running = (norm.running_mean, norm.running_var)
    return [
        [behind(x) for x in inputs],
        [behind(torch.cat(inputs))],
        [behind(x, *running) for x in inputs],
    ]


def _refuse_the_block(deeper: torch.nn.BatchNorm2d) -> None:
    """Raise Wrong for the norm inside the block, where the first one is right."""
    if deeper.running_mean.abs().max() > _STALE / 4:
        raise Wrong(
            "The first norm is right, in the one inside the block the old statistics still count.",
            "only one norm has new statistics: network.modules() finds all, also inside blocks.",
        )
    raise Wrong(
        "The first norm is right, the one inside the block has not the statistics of its inputs.",
        "each norm gets the same treatment. And as long as the first one normalises with its old "
        "statistics, wrong values reach the next: run the batches through in train mode.",
    )


def _exactly(got: torch.Tensor, means: torch.Tensor) -> str:
    """The hint for a plain mean of some batches, or one that moves with another momentum."""
    if alike((got,), (means.sum(0) / (_TRACKED + len(means)),)):
        return (
            "momentum=None divides by all batches a norm has ever counted, num_batches_tracked: "
            "norm.reset_running_stats() sets that back to 0, too."
        )
    if alike((got,), (means.sum(0) / (len(means) + 1),)):
        return (
            "the start, 0 and 1, counts like one more batch: the first batch has the momentum 1, "
            "the next ½, then ⅓. momentum=None does that."
        )
    every = range(len(means))
    for number in range(2, len(means)):
        for some in itertools.combinations(every, number):
            if alike((got,), (means[list(some)].mean(0),)):
                counted = listed([str(k + 1) for k in some])
                return f"of the {len(means)} batches only {counted} count: go on through all."
    for momentum in (0.01, 0.1, 0.2, 1 / len(means), 0.3, 0.5, 0.9, 0.99):
        once = _moved(torch.zeros_like(got), means, momentum)
        if momentum != 0.1 and alike((got,), (once,)):
            return (
                f"with momentum {momentum:g} the last batches weigh most, and the start a little. "
                "momentum=None takes the average of all batches."
            )
        if alike((got,), (_moved(means[0], means[1:], momentum),)):
            return (
                f"from the second batch on the momentum is {momentum:g}, and not all batches "
                "count alike: set it back behind the loop, not in it."
            )
        if _in_rounds(got, means, momentum):
            return (
                "further rounds through the batches drown the start, but with momentum "
                f"{momentum:g} the last batches weigh most: reset, and momentum=None for the "
                "average of all."
            )
    return ""


def _in_rounds(got: torch.Tensor, means: torch.Tensor, momentum: float) -> bool:
    """Whether the batches came through several times, until little was left of the start."""
    for start in (0.0, _STALE):
        moved, left = torch.full_like(got, start), start
        for number in range(1, 101):
            moved = _moved(moved, means, momentum)
            left *= (1 - momentum) ** len(means)
            if number > 1 and left < 0.01 and alike((got,), (moved,)):
                return True
    return False


def _moved(start: torch.Tensor, means: torch.Tensor, momentum: float) -> torch.Tensor:
    """A running mean after a round through the batches."""
    for mean in means:
        start = (1 - momentum) * start + momentum * mean
    return start


def _share_of_the_old(got: torch.Tensor, means: torch.Tensor) -> str:
    """The hint for means that the old statistics still count in, or that are one number."""
    shares = (got - means.mean(0)) / (_STALE - means.mean(0))
    share = float(shares.mean())
    if got.max() - got.min() < 1e-3 < float(got.abs().max()) < _STALE / 2:
        return (
            "one number stands for all channels: each channel has its own, those of what reaches "
            "the norm, not of the images."
        )
    if not 0.01 < share < 0.99 or float(shares.std()) > 0.1 * share:
        return ""
    return (
        f"{share:.0%} of them are the old statistics: norm.reset_running_stats() "
        "before the first batch, and momentum=None for the average of all."
    )
