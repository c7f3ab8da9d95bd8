"""The optimisers a recipe can name, and the learning rate over the course of a run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn

OPTIMISERS = ("sgd", "adam", "adamw", "muon")
SCHEDULES = ("one-cycle", "one-cycle-cosine", "cosine", "constant", "plateau")


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal before it is applied (Jordan et al., 2024).

    The momentum of a layer, read as a matrix of one row an output channel, is replaced by the
    nearest matrix whose singular values are all about one: every direction the gradient points in
    is then walked at the same speed, the weak ones too. Five Newton–Schulz iterations do that with
    matrix products alone. For weights of two dimensions or more; ``torch.optim.Muon`` (PyTorch 2.9)
    takes only two, so convolutions need this one.

    Args:
        params: weights of shape ``(out, in, …)``.
        lr: step length; with the factor ``sqrt(max(1, rows / columns))`` it means the same for
            layers of all shapes.
        momentum: share of the old momentum kept in each step (Nesterov's variant is used).
        weight_decay: share of the weights taken away in each step, times ``lr``.
        stacked: whether the first dimension of every weight counts networks (``together.py``),
            each of which has a matrix of its own.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        stacked: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.stacked = stacked

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                self._step(weights, **group)

    def _step(
        self,
        weights: list[torch.Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        **_: object,
    ) -> None:
        """Update weights of one shape: together, for a small matrix costs little but its calls."""
        updates = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(weight.grad, 1 - momentum)
            update = weight.grad.lerp(state["momentum"], momentum)
            updates.append(update.flatten(2 if self.stacked else 1))
        matrices = orthogonalise(torch.stack(updates))
        scale = math.sqrt(max(1.0, matrices.shape[-2] / matrices.shape[-1]))
        for weight, matrix in zip(weights, matrices, strict=True):
            weight.mul_(1 - lr * weight_decay)
            weight.add_(matrix.view_as(weight), alpha=-lr * scale)


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """A matrix with the singular vectors of ``matrix`` and singular values near one.

    The quintic Newton–Schulz iteration with the coefficients of Jordan et al. (2024): chosen to
    rise fast near zero, they end between about 0.7 and 1.2 rather than at exactly one, which the
    optimiser does not mind. ``matrix`` has shape ``(rows, columns)``, or ``(…, rows, columns)``
    for many at once.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    # No singular value above one: the iteration needs that.
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def make_optimisers(
    model: nn.Module,
    name: str,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
    side_learning_rate: float = 3e-3,
    stacked: bool = False,
) -> list[torch.optim.Optimizer]:
    """The optimiser ``name`` over the model's parameters (two of them for ``muon``).

    With ``stacked`` the first dimension of every parameter counts networks (``together.py``);
    each is updated as it would be alone.

    Weight decay falls on weights of two dimensions or more only: pulling a norm's gamma or a bias
    towards zero regularises nothing (``adam`` decays all parameters, as older recipes use it). With
    ``muon`` the convolutions that mix channels are Muon's, and decay; all else (first layer,
    depthwise convolutions, classifier, norms, biases) has no useful matrix to make orthogonal and
    goes to AdamW with ``side_learning_rate`` and no decay.

    Raises ``ValueError`` for an unknown name.
    """
    first = 1 if stacked else 0  # the dimension from which on a parameter has its usual shape
    weights = [p for p in model.parameters() if p.ndim - first > 1]
    others = [p for p in model.parameters() if p.ndim - first <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if name == "sgd":
        nesterov = nesterov and momentum > 0
        return [torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=nesterov)]
    if name == "adam":
        # Adam as the older recipes use it: weight decay added to every gradient.
        return [torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay)]
    if name == "adamw":
        return [torch.optim.AdamW(groups, lr=learning_rate)]
    if name == "muon":
        mixing = [p for p in weights if p.ndim - first == 4 and p.shape[first + 1] > 1][1:]
        chosen = {id(p) for p in mixing}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        side = torch.optim.AdamW(
            rest, lr=side_learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        if not mixing:
            return [side]
        return [Muon(mixing, learning_rate, momentum, weight_decay, stacked), side]
    raise ValueError(f"Unknown optimiser {name!r}; choose one of {', '.join(OPTIMISERS)}.")


def learning_rate_factor(schedule: str, progress: float, warmup: float = 0.2) -> float:
    """Share of the full learning rate at ``progress`` (0 at the first step, 1 after the last).

    ``one-cycle`` rises in a straight line over the first ``warmup`` of the run and falls in a
    straight line to zero (after Smith and Topin, 2018); ``one-cycle-cosine`` rises from 1/25 and
    falls to 1/250,000 along half cosines, as PyTorch's ``OneCycleLR`` does unless told otherwise;
    ``cosine`` falls along half a cosine (Loshchilov and Hutter, 2017) after the straight rise;
    ``constant`` and ``plateau`` stay at one (``plateau`` is lowered between epochs by what the run
    measures).

    Raises ``ValueError`` for an unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"Unknown schedule {schedule!r}; choose one of {', '.join(SCHEDULES)}.")
    if schedule in ("constant", "plateau"):
        return 1.0
    if schedule == "one-cycle-cosine":
        lowest = 1 / 25 if progress < warmup else 1 / 250_000
        return lowest + (1 - lowest) * _cosine_hill(progress, warmup)
    if progress < warmup:
        return 0.05 + 0.95 * progress / warmup
    left = 1 - (progress - warmup) / (1 - warmup)
    return left if schedule == "one-cycle" else 0.5 * (1 - math.cos(math.pi * left))


def cycled_momentum(schedule: str, progress: float, warmup: float = 0.2) -> float | None:
    """The momentum at ``progress`` where the schedule moves it too; None where it does not.

    ``one-cycle-cosine`` lowers it from 0.95 to 0.85 while the learning rate rises, and raises it
    again while that falls (Smith and Topin, 2018), whatever momentum the recipe names: so does
    PyTorch's ``OneCycleLR`` unless told otherwise.
    """
    if schedule != "one-cycle-cosine":
        return None
    return 0.95 - 0.1 * _cosine_hill(progress, warmup)


def _cosine_hill(progress: float, warmup: float) -> float:
    """From 0 up to 1 at ``warmup`` and down to 0 at the end, each along half a cosine."""
    up, down = progress / max(warmup, 1e-9), (1 - progress) / (1 - warmup)
    return 0.5 * (1 - math.cos(math.pi * min(up, down)))
