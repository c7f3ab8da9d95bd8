"""The clinic: scripts with batch norm that run and are wrong; the repaired function is judged.

What counts is what it does to a small network, not how. Here are the cases of frozen and of stale
statistics; those of batches and of loaded weights have files of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.epoch import Epoch
from common.exercises.inputs import alike
from common.exercises.learner import Learner, treat
from common.exercises.verdict import Verdict, Wrong
from common.exercises.ways import listed

_RUNNING = ("running_mean", "running_var")
_TRACKED = 100  # batches that the stale statistics have seen
_STALE = 20.0  # their mean, far from the batches'


def check_frozen_statistics(freeze: Callable) -> Verdict:
    """Check `freeze(network)`, which makes the batch norms of a network stand still, in place.

    Afterwards the network, in train mode, is trained further: `BatchNorm2d` layers at any depth
    use their running statistics and keep them, their gamma and beta stay, all else still learns.
    """

    def trials(learner: Learner) -> None:
        network = _Network()
        before = _state(network)
        must_not_be_copied(network, learner(network), "freeze(network)")
        after = _state(network)
        if set(after) != set(before):
            raise Wrong(
                "After freeze(network) the norms are no longer what they were.",
                "they are to stay, standing still: the weights behind them have learnt to live "
                "with what they do.",
            )
        if _untouched(network, before):
            raise Wrong(
                "freeze(network) leaves every norm as it was.",
                "does your loop find them? isinstance(layer, nn.BatchNorm2d) for each layer of "
                "network.modules(), and then layer.eval() and requires_grad_(False).",
            )
        _must_be_frozen(network, "After freeze(network)")
        changed = [name for name in before if not torch.equal(before[name], after[name])]
        if changed:
            raise Wrong(
                f"freeze(network) itself changes {', '.join(changed)}.",
                "the norms go on with the statistics, gamma and beta that they have: no reset.",
            )
        if not network.drop.training:
            raise Wrong(
                "After freeze(network) dropout is in eval mode, too.",
                "only the norms are to stand still: call .eval() on each of them, not on the "
                "whole network.",
            )
        for x, y in _labelled(2):
            _step(network, x, y)
        _compare_states(network, before)

    return treat(freeze, trials, "Right: gamma, beta and statistics stay, and the rest learns.")


def check_still_frozen(train_epoch: Callable) -> Verdict:
    """Check `train_epoch(network, batches, optimiser)`, an epoch in which frozen norms stay frozen.

    batches: a list of (images (N, 3, 6, 6), labels (N,)). The network comes in eval mode, gamma
    and beta of its norms with requires_grad=False; all else is to train as usual, dropout included.
    """

    def trials(learner: Learner) -> None:
        network = _Network().eval()
        for norm in network.norms:
            norm.requires_grad_(False)
        optimiser = torch.optim.SGD(network.parameters(), 0.1)
        dropout, awake = [], set()
        called = []
        for norm in network.norms:
            norm.register_forward_hook(
                lambda layer, *_: awake.add(layer) if layer.training else None
            )
        network.drop.register_forward_hook(lambda layer, *_: dropout.append(layer.training))
        network.last.register_forward_hook(lambda layer, *_: called.append(layer))
        before = _state(network)
        batches = _labelled(3)
        epoch = Epoch(network, network.last, optimiser, batches)
        returned = learner(network, batches, optimiser)
        must_not_be_copied(network, returned, "train_epoch(network, batches, optimiser)")
        if not dropout:
            raise Wrong("The network was never called.", "loop over the batches.")
        if any(layer is not network.last for layer in called):
            raise Wrong(
                "A copy of the network was called.",
                "train the network that is handed over: nobody else sees a copy.",
            )
        if not all(dropout):
            raise Wrong(
                "While it trained, dropout was in eval mode.",
                "the network trains in train mode, network.train(), and then only its norms go "
                "back, each by its own .eval().",
            )
        if len(awake) == 1:
            raise Wrong("While it trained, one of the two norms was in train mode.", _BLOCKS)
        if awake:
            raise Wrong("While it trained, a norm was in train mode.", _AFTER)
        epoch.must_step_with_gradients()
        _compare_states(network, before)
        if len(dropout) != 3:
            raise Wrong(
                f"3 batches were given, the network was called {_times(len(dropout))}.",
                "one step a batch.",
            )
        steps = epoch.steps
        if not steps:
            raise Wrong(
                "The network has learnt, but not by the optimiser that was handed over.",
                "call its step(), not that of a new one, which knows nothing of the epochs before.",
            )
        if len(steps) != 3:
            raise Wrong(
                f"3 batches were given, optimiser.step() was called {_times(len(steps))}.",
                "one step a batch: it belongs inside the loop, once, after backward().",
            )
        if not all(steps):
            raise Wrong(
                "A step uses gradients of an earlier batch as well.",
                "backward() adds to the gradients: optimiser.zero_grad() in every step.",
            )
        epoch.must_learn_the_labels()

    return treat(train_epoch, trials, "Right: the norms stay frozen while the rest trains.")


def check_re_estimated_statistics(re_estimate: Callable) -> Verdict:
    """Check `re_estimate(network, batches)`, which renews stale running statistics, in place.

    batches: a list of images (N, 3, 6, 6). Afterwards the running statistics are those of all
    these images, nothing is left of the old ones, and nothing else has changed: neither weights
    nor any layer's momentum. The network is left in eval mode.
    """

    def trials(learner: Learner) -> None:
        network = _Network()
        with torch.no_grad():
            for norm in network.norms:
                norm.running_mean.fill_(_STALE), norm.running_var.fill_(0.01)
                norm.num_batches_tracked.fill_(_TRACKED)
        batches = [x for x, _ in _labelled(4, shifts=(-0.6, 0.0, 0.2, 0.8))]
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        momenta = [norm.momentum for norm in network.norms]
        returned = learner(network, batches)
        must_not_be_copied(network, returned, "re_estimate(network, batches)")
        _compare_estimates(network, batches)
        for name, parameter in network.named_parameters():
            if not torch.equal(parameter, before[name]):
                raise Wrong(
                    f"The weights of {name} have changed.",
                    "no optimiser is needed here, and no reset of gamma and beta: "
                    "norm.reset_running_stats() resets the statistics alone.",
                )
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

    return treat(re_estimate, trials, "Right: the statistics are those of the new images.")


class _Network(nn.Module):
    """Two trained norms, one of them inside a block, and a dropout; in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.BatchNorm2d(4)))
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(4, 3)
        # Neither as a fresh norm has them, nor both alike.
        self.block[1][0].momentum = 0.2
        with torch.no_grad():
            for norm in self.norms:
                norm.weight.copy_(torch.linspace(0.6, 1.5, 4)), norm.bias.fill_(0.1)
                norm.running_mean.fill_(0.2), norm.running_var.fill_(1.5)

    @property
    def norms(self) -> list[nn.BatchNorm2d]:
        return [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.block(F.relu(self.norm(self.first(x)))))
        return self.last(self.drop(x.mean((2, 3))))


def _labelled(
    number: int, shifts: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of 16 small images that no network has seen, with labels."""
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randn(16, 3, 6, 6, generator=generator) * 2 + 1 + shift,
            torch.randint(3, (16,), generator=generator),
        )
        for shift in shifts[:number]
    ]


def _step(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    network.zero_grad()
    loss = F.cross_entropy(network(x), y)
    if loss.requires_grad:
        loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def must_not_be_copied(network: nn.Module, returned: Any, call: str) -> None:
    """Raise Wrong if the learner's function has returned another network."""
    if isinstance(returned, nn.Module) and returned is not network:
        raise Wrong(
            f"{call} returns another network.",
            "change the network that is handed over, in place: no copy.",
        )


_FORWARD = (
    "requires_grad=False and the optimiser have no say in running statistics: the forward pass "
    "moves them in train mode. Put each norm into eval mode, norm.eval()"
)


_AFTER = f"{_FORWARD}, after every network.train(), for that puts them back into train mode."
_BLOCKS = (
    "norms sit inside blocks, too: loop over network.modules(), not .children(), and to its end."
)


def _untouched(network: _Network, before: dict[str, torch.Tensor]) -> bool:
    """Whether the norms are as they were: in train mode, and learning."""
    return all(torch.equal(value, before[name]) for name, value in _state(network).items()) and all(
        norm.training
        and norm.momentum
        and norm.track_running_stats
        and all(parameter.requires_grad for parameter in norm.parameters())
        for norm in network.norms
    )


def _must_be_frozen(network: _Network, when: str) -> None:
    """Raise Wrong unless the norms normalise with their running statistics."""
    awake = [norm for norm in network.norms if norm.training and norm.track_running_stats]
    if len(awake) == 1:
        raise Wrong(
            f"{when} one of the two norms still moves its running statistics.",
            _BLOCKS,
        )
    for norm in network.norms:
        if norm.training or norm.running_mean is None:
            hint = _AFTER
            if norm.momentum == 0 or not norm.track_running_stats:
                hint = (
                    "with momentum=0 or track_running_stats=False a norm in train mode still uses "
                    "the batch's own statistics. norm.eval() makes it use the running ones, and "
                    "keeps them."
                )
            raise Wrong(f"{when} a norm still normalises with the batch's statistics.", hint)


def _compare_states(network: _Network, before: dict[str, torch.Tensor]) -> None:
    """Raise Wrong unless the norms have stayed and the rest has learnt."""
    after = network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    of_norms = {
        f"{name}.{part}"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
        for part in layer.state_dict()
    }
    for name in sorted(moved & of_norms):
        if name.endswith(_RUNNING) or name.endswith("tracked"):
            raise Wrong(f"{name} has moved in training.", _AFTER)
        raise Wrong(
            f"{name} has been trained.",
            "gamma and beta are parameters: requires_grad_(False) for both, in every norm.",
        )
    if not moved:
        raise Wrong(
            "Nothing learns any more.",
            "only the norms stand still; for the rest: loss, backward, optimiser.step().",
        )
    still = sorted(set(after) - of_norms - moved)
    if still:
        raise Wrong(
            f"{', '.join(still)} no longer learn{'' if still[1:] else 's'}.",
            "only the norms are to stand still.",
        )


def _compare_estimates(network: _Network, batches: list[torch.Tensor]) -> None:
    """Raise Wrong unless the first norm's statistics are those of the batches."""
    norm = network.norm
    with torch.no_grad():
        inputs = [network.first(x) for x in batches]
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs])
        variances = torch.stack([x.var((0, 2, 3)) for x in inputs])
        deviation = variances.mean(0).sqrt()
    got = norm.running_mean

    def near(mean: torch.Tensor) -> bool:
        return bool(((got - mean).abs() < 0.05 * deviation).all())

    fits = near(means.mean(0)) and bool(
        ((norm.running_var / variances.mean(0)).log().abs() < 0.3).all()
    )
    deeper = network.block[1][0]
    if fits and float(deeper.running_mean.abs().max()) < 5:
        return
    averaged = torch.full_like(got, _STALE)
    for mean in means:
        averaged = 0.9 * averaged + 0.1 * mean
    counted = (_STALE * _TRACKED + means.sum(0)) / (_TRACKED + len(means))
    from_zero = torch.zeros_like(got)
    for mean in means:
        from_zero = 0.9 * from_zero + 0.1 * mean
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
            "the old statistics still count: with momentum 0.1 a few batches do not drown them. "
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
    name, value, right = "running_mean", got[0], means.mean(0)[0]
    if near(means.mean(0)):
        name, value, right = "running_var", norm.running_var[0], variances.mean(0)[0]
    if fits:
        hint = "only one norm has new statistics: network.modules() finds all, also inside blocks."
    raise Wrong(
        f"The first {name} is {value:.3g}, that of all images {right:.3g}."
        if not fits
        else "The first norm is right, the one inside the block still has its old statistics.",
        hint or "the mean over all batches, and of the old statistics nothing.",
    )


def _exactly(got: torch.Tensor, means: torch.Tensor) -> str:
    """The hint for a plain mean of some batches, or one that moves with another momentum."""
    every = range(len(means))
    for number in range(2, len(means)):
        for some in itertools.combinations(every, number):
            if alike((got,), (means[list(some)].mean(0),)):
                counted = listed([str(k + 1) for k in some])
                return f"of the {len(means)} batches only {counted} count: go on through all."
    for momentum in (0.01, 0.2, 0.3, 0.5, 0.9, 0.99):
        moved = torch.zeros_like(got)
        for mean in means:
            moved = (1 - momentum) * moved + momentum * mean
        if alike((got,), (moved,)):
            return (
                f"with momentum {momentum:g} the last batches weigh most, and the start a little. "
                "momentum=None takes the average of all batches."
            )
    return ""


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
