"""The clinic's case of weights whose channels are in another order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.clinic_network import must_not_be_copied
from common.exercises.inputs import alike
from common.exercises.learner import Learner, treat
from common.exercises.verdict import Verdict, Wrong

_RUNNING = "running_mean and running_var have channels, too"


def check_channels_in_order(load: Callable, *, reveal: bool = True) -> Verdict:
    """Check `load(network, state, order)`, which loads weights whose channels are in another order.

    network: `network.conv` (4 channels out), `network.norm` (4 channels), `network.head` (a
    convolution of these). state: a state_dict with the same names and shapes; channel k of the
    network's `conv` and `norm` is channel `order[k]` there (order: a tensor of 4 numbers).
    Afterwards the network gives what the network of the state gives.
    """

    def trials(learner: Learner) -> None:
        order = [2, 3, 1, 0]  # neither its inverse nor, applied twice, a simple turn
        source, network = _Crossed(1).eval(), _Crossed(2).eval()
        state = {name: value.clone() for name, value in source.state_dict().items()}
        given = {name: value.clone() for name, value in state.items()}
        before = {name: value.clone() for name, value in network.state_dict().items()}
        learner.on = "two networks with a conv, a norm and a head"
        returned = learner(network, given, torch.tensor(order))
        must_not_be_copied(network, returned, "load(network, state, order)")
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        _compare_loaded(network.eval(), source, state, before, order, x)
        if any(not torch.equal(given[name], value) for name, value in state.items()):
            raise Wrong("The state handed over was changed.", "make a new dict of new tensors.")

    success = "Right: every tensor's channels are where they belong."
    return treat(load, trials, success, "" if reveal else _RUNNING)


class _Crossed(nn.Module):
    """A convolution, a norm and a convolution of its channels."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, value in self.state_dict().items():
                if value.is_floating_point():
                    value.copy_(torch.rand(value.shape, generator=generator) + 0.2)
                    if "conv" in name or "head" in name:
                        value.sub_(0.7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.conv(x))))


def _reordered(
    state: dict[str, torch.Tensor], order: Sequence[int], leave: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """The state with its channels in order; names that contain a word of `leave` stay."""
    new = {}
    for name, value in state.items():
        if value.dim() and not any(word in name for word in leave):
            if name.startswith(("conv", "norm")):
                value = value[list(order)]
            elif name == "head.weight":
                value = value[:, list(order)]
        new[name] = value
    return new


def _compare_loaded(
    network: nn.Module,
    source: nn.Module,
    state: dict[str, torch.Tensor],
    before: dict[str, torch.Tensor],
    order: list[int],
    x: torch.Tensor,
) -> None:
    """Raise Wrong unless the network gives what its source gives, and has channels in order."""
    right = _reordered(state, order)
    loaded = network.state_dict()
    wrong = [n for n, v in right.items() if n in loaded and not alike((loaded[n],), (v,))]
    if not wrong:
        with torch.no_grad():
            if alike((network(x),), (source(x),)):
                return
        raise Wrong("The network's output is another one.", "is every tensor loaded?")
    inverse = [order.index(k) for k in range(len(order))]
    known = [
        (
            state,
            "the channels are still in the order of the file: index with order, new = old[order], "
            "and load that.",
        ),
        (
            _reordered(state, inverse),
            "the order is used the wrong way round: channel k of the network is order[k] of the "
            "state, so new = old[order].",
        ),
        (
            _reordered(state, order, leave=("running",)),
            f"{_RUNNING}: they must follow gamma and beta, in what is loaded (load_state_dict "
            "writes over what the network has been given before).",
        ),
        (
            _reordered(state, order, leave=("norm",)),
            "the norm has channels, too: weight, bias, running_mean and running_var.",
        ),
        (
            _reordered(state, order, leave=("head",)),
            "the layer behind takes these channels as its inputs: head.weight[:, order].",
        ),
        (
            _reordered(state, order, leave=("norm", "head")),
            "only the convolution follows: the norm's vectors and head.weight[:, order] must, too.",
        ),
    ]
    for other, hint in known:
        if all(alike((loaded[n],), (v,)) for n, v in other.items() if v.dim()):
            raise Wrong(f"In another order than it should be: {', '.join(wrong)}.", hint)
    left, found = list(wrong), _exchanged(loaded, right, wrong)
    for other, what, way_out in _kinds(loaded, state, before, order):
        names = [n for n in left if n in other and alike((loaded[n],), (other[n],))]
        left = [name for name in left if name not in names]
        if names:
            found.append(f"{what}: {', '.join(names)}. So {way_out}")
    raise Wrong(
        f"Not as it should be: {', '.join(wrong)}.",
        " And ".join(found)
        or "go through the names of the state: which axis of each tensor counts these channels?",
    )


def _exchanged(
    loaded: dict[str, torch.Tensor], right: dict[str, torch.Tensor], wrong: Sequence[str]
) -> list[str]:
    """What holds the values of another name."""
    return [
        f"{name} holds what belongs to {other}."
        for name in wrong
        for other, value in right.items()
        if other != name and value.dim() and alike((loaded[name],), (value,))
    ]


def _kinds(
    loaded: dict[str, torch.Tensor],
    state: dict[str, torch.Tensor],
    before: dict[str, torch.Tensor],
    order: list[int],
) -> list[tuple[dict[str, torch.Tensor], str, str]]:
    """What single tensors may have become: (their values, what that is, the way out)."""
    inverse = [order.index(k) for k in range(len(order))]
    overwritten = {n: v.clone() for n, v in state.items()}
    for k, source in enumerate(order):
        for name, value in overwritten.items():
            if name == "head.weight":
                value[:, k] = value[:, source]
            elif name.startswith(("conv", "norm")) and value.dim():
                value[k] = value[source]
    return [
        (
            overwritten,
            "overwritten while it was still needed",
            "read from state, or index all at once: new = old[order].",
        ),
        (
            before,
            "not loaded at all",
            "hand it all to network.load_state_dict(…), that of the network handed over, and with "
            "the names as they are: strict=False passes over any others.",
        ),
        (state, "still in the order of the file", "these channels must follow, too."),
        (_reordered(state, inverse), "in the order the wrong way round", "new = old[order]."),
        (_reordered(_reordered(state, order), order), "put in order twice", "once is enough."),
        (
            _reordered(before, order),
            "the network's own values in another order",
            "take them from state, not from network.state_dict().",
        ),
        (
            {"norm.running_mean": torch.zeros(4), "norm.running_var": torch.ones(4)},
            "as in a fresh norm",
            "nothing is reset after loading.",
        ),
        *(
            (
                _turned(loaded, values, lambda name: 0 if name == "head.weight" else 1),
                "moved along the wrong axis",
                "the channels are axis 0, and 1 of head.weight.",
            )
            for values in (state, _reordered(state, order))
        ),
        (
            _turned(loaded, state, lambda name: 1 if name == "head.weight" else 0),
            "in yet another order",
            "new = old[order], and what does not count these channels (head.bias) stays as it is.",
        ),
    ]


def _turned(
    loaded: dict[str, torch.Tensor],
    state: dict[str, torch.Tensor],
    axis_of: Callable[[str], int],
) -> dict[str, torch.Tensor]:
    """The loaded tensors that are those of a state with an axis in some other order."""
    return {
        name: loaded[name]
        for name, value in state.items()
        if axis_of(name) < value.dim()
        and any(
            alike((loaded[name],), (value.index_select(axis_of(name), torch.tensor(order)),))
            for order in itertools.permutations(range(value.shape[axis_of(name)]))
        )
    }
