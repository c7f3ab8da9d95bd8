"""The clinic: scripts with batch norm that run and are wrong; the repaired function is judged.

What counts is what it does to a small network, not how. Here are the cases of frozen statistics;
those of stale ones, of batches and of loaded weights have files of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.clinic_network import Network, labelled, must_not_be_copied
from common.exercises.epoch import Epoch
from common.exercises.inputs import alike
from common.exercises.learner import Learner, treat
from common.exercises.verdict import Verdict, Wrong

_RUNNING = ("running_mean", "running_var")


def check_frozen_statistics(freeze: Callable, *, reveal: bool = True) -> Verdict:
    """Check `freeze(network)`, which makes the batch norms of a network stand still, in place.

    Afterwards the network, in train mode, is trained further: `BatchNorm2d` layers at any depth
    use their running statistics and keep them, their gamma and beta stay, all else still learns.
    reveal=False, here and in the checks like it: the hint for the usual mistake is not told.
    """

    def trials(learner: Learner) -> None:
        network = Network()
        before = _state(network)
        must_not_be_copied(network, learner(network), "freeze(network)")
        after = _state(network)
        if set(after) != set(before):
            gone = ", ".join(sorted(set(before) - set(after)))
            raise Wrong(
                "After freeze(network) the norms are no longer what they were"
                + (f": the state_dict lacks {gone}." if gone else "."),
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
        for x, y in labelled(2):
            _step(network, x, y)
        _compare_states(network, before, _of_freezing(network), "only the norms stand still.")

    success = "Right: gamma, beta and statistics stay, and the rest learns."
    return treat(freeze, trials, success, "" if reveal else _FORWARD)


def check_still_frozen(train_epoch: Callable, *, reveal: bool = True) -> Verdict:
    """Check `train_epoch(network, batches, optimiser)`, an epoch in which frozen norms stay frozen.

    batches: a list of (images (N, 3, 6, 6), labels (N,)). The network comes in eval mode, gamma
    and beta of its norms with requires_grad=False; all else is to train as usual, dropout included.
    """

    def trials(learner: Learner) -> None:
        network = Network().eval()
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
        batches = labelled(3)
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
            kept = all(torch.equal(v, before[n]) for n, v in _running(network).items())
            raise Wrong(
                "While it trained, a norm was in train mode.",
                "the running statistics are as they were (momentum=0, or put back afterwards), "
                f"but were not used: {_OWN}"
                if kept
                else f"{_AFTER} {_BY_TYPE}"
                if all(norm.training for norm in network.norms)
                else f"{_AFTER} And before a batch goes through: afterwards is too late.",
            )
        epoch.must_step_with_gradients()
        _compare_states(
            network,
            before,
            "gamma and beta came with requires_grad=False: leave it at that in every norm.",
            "only the norms stand still; for the rest: loss, backward, optimiser.step().",
        )
        learnt_from = len(epoch.sent_back)  # a further call, for the accuracy, does no harm
        if learnt_from != 3:
            raise Wrong(
                f"3 batches were given, the network was called {_times(len(dropout))}, and "
                f"{_times(learnt_from)} a loss went back to it.",
                "one step a batch: for each one loss, one backward() and one step.",
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

    success = "Right: the norms stay frozen while the rest trains."
    return treat(train_epoch, trials, success, "" if reveal else _FORWARD)


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


def _running(network: nn.Module) -> dict[str, torch.Tensor]:
    return {n: v for n, v in network.state_dict().items() if n.endswith(_RUNNING)}


_FORWARD = (
    "requires_grad=False and the optimiser have no say in running statistics: the forward pass "
    "moves them in train mode. Put each norm into eval mode, norm.eval()"
)


_OWN = (
    "a norm in train mode still uses the batch's own statistics. norm.eval() makes it use the "
    "running ones, and keeps them."
)
_AFTER = f"{_FORWARD}, after every network.train(), for that puts them back into train mode."
_BY_TYPE = "Find them by their type, isinstance(layer, nn.BatchNorm2d), not by a name."
_BLOCKS = (
    "norms sit inside blocks, too: loop over network.modules(), not .children(), and to its end. "
    f"{_BY_TYPE}"
)


def _untouched(network: Network, before: dict[str, torch.Tensor]) -> bool:
    """Whether the norms are as they were: in train mode, and learning."""
    return all(torch.equal(value, before[name]) for name, value in _state(network).items()) and all(
        norm.training
        and norm.momentum
        and norm.track_running_stats
        and all(parameter.requires_grad for parameter in norm.parameters())
        for norm in network.norms
    )


def _must_be_frozen(network: Network, when: str) -> None:
    """Raise Wrong unless the norms normalise with their running statistics."""
    awake = [norm for norm in network.norms if norm.training and norm.track_running_stats]
    if len(awake) == 1:
        raise Wrong(
            f"{when} one of the two norms still moves its running statistics.",
            _BLOCKS,
        )
    for norm in network.norms:
        if norm.training or norm.running_mean is None:
            hint = f"{_AFTER} And with brackets: norm.eval alone calls nothing."
            if norm.momentum == 0 or not norm.track_running_stats:
                hint = f"with momentum=0 or track_running_stats=False {_OWN}"
            raise Wrong(f"{when} a norm still normalises with the batch's statistics.", hint)
        x = torch.linspace(-2, 3, 8 * norm.num_features).reshape(2, -1, 2, 2)
        running = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if not alike((norm(x),), (F.batch_norm(x, *running, eps=norm.eps),)):
            raise Wrong(
                f"{when} a norm no longer normalises with its running statistics.",
                "its forward pass is to stay what it is, and norm.eval() is enough.",
            )


def _of_freezing(network: Network) -> str:
    """The hint for gamma or beta that still learn."""
    made = {
        f"{owner}.{name}"
        for norm in network.norms
        for owner, holder in (
            ("norm", norm),
            ("norm.weight", norm.weight),
            ("norm.bias", norm.bias),
        )
        for name in vars(holder)
        if "grad" in name
    }
    unknown = f"{' and '.join(sorted(made))} = … sets a name that PyTorch does not know. " * bool(
        made
    )
    return f"{unknown}gamma and beta are parameters: requires_grad_(False) for both, in every norm."


def _compare_states(
    network: Network, before: dict[str, torch.Tensor], of_trained: str, of_still: str
) -> None:
    """Raise Wrong unless the norms have stayed and the rest has learnt.

    of_trained, of_still: the hints for gamma or beta that have moved, and where nothing has.
    """
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
            of_trained,
        )
    if not moved:
        raise Wrong(
            "Nothing learns any more.",
            of_still
            if any(parameter.requires_grad for parameter in network.parameters())
            else "no parameter has requires_grad=True: only gamma and beta of the norms are to "
            "have lost it.",
        )
    still = sorted(set(after) - of_norms - moved)
    if still:
        raise Wrong(
            f"{', '.join(still)} no longer learn{'' if still[1:] else 's'}.",
            "only the norms are to stand still.",
        )
