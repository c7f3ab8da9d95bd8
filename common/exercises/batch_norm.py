"""The checks of the batch norm lesson, and what is special to running statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.inputs import Inputs, alike, difference, sample
from common.exercises.mistakes import BIASED, INVERTED, REPLACED, UNBIASED, Way
from common.exercises.predictions import Number, examine_numbers
from common.exercises.tasks import AFFINE, Normalised, Statistics, construct
from common.exercises.trials import examine
from common.exercises.verdict import Verdict, Wrong


def check_batch_statistics(batch_statistics: Callable) -> Verdict:
    """Check `batch_statistics(x) -> (mean, variance)`, both of shape (C,), for x (N, C, H, W)."""
    return examine(batch_statistics, Statistics("batch"))


def check_batch_norm(batch_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `batch_norm(x, gamma, beta, eps)` in train mode: x (N, C, H, W), gamma, beta (C,).

    reveal=False shows the symptom only, for "find the bug".
    """
    return examine(batch_norm, Normalised("batch"), reveal)


def check_batch_norm_layer(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(channels, eps, momentum)` with running statistics, train and eval mode.

    It holds `weight`, `bias`, `running_mean` and `running_var`, each of shape (C,).
    """
    return examine(layer, _BatchNormLayer())


def check_batch_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (running_mean, running_var, y in train mode, y in eval mode)`.

    One channel, a batch of the values 1, 3, 5, 7, fresh running statistics 0 and 1, momentum 0.1,
    gamma 1, beta 0, eps 0; y is what the value 1 becomes.
    """
    mean, biased, unbiased = 4.0, 5.0, 20 / 3
    running_mean, running_var = 0.1 * mean, 0.9 + 0.1 * unbiased
    train, evaluation = (1 - mean) / biased**0.5, (1 - running_mean) / running_var**0.5
    asked = [
        Number("running_mean", running_mean, {0.9 * mean: INVERTED, mean: REPLACED}),
        Number(
            "running_var",
            running_var,
            {
                0.9 + 0.1 * biased: BIASED,
                0.1 + 0.9 * unbiased: INVERTED,
                0.1 + 0.9 * biased: f"{INVERTED} {BIASED}",
                0.1 * unbiased: "running_var starts at 1, not at 0.",
                0.1 * biased: f"running_var starts at 1, not at 0. {BIASED}",
                unbiased: REPLACED,
                biased: f"{REPLACED} {BIASED}",
            },
        ),
        Number(
            "y in train mode",
            train,
            {
                (1 - mean) / unbiased**0.5: UNBIASED,
                (1 - mean) / biased: "divide by the square root of the variance.",
                evaluation: "that is eval mode: in train mode the batch's own statistics count.",
            },
        ),
        Number(
            "y in eval mode",
            evaluation,
            {
                train: "in eval mode the running statistics take the place of the batch's.",
                (1 - running_mean) / running_var: "divide by the square root of running_var.",
                1.0: "the running statistics moved in the training step before: 0 and 1 are gone.",
                (1 - running_mean) / (0.9 + 0.1 * biased) ** 0.5: BIASED,
            },
        ),
    ]
    return examine_numbers(prediction, asked)


class _BatchNormLayer(Normalised):
    """A class layer(channels, eps, momentum) with running statistics."""

    success = "Right: outputs, gradients and running statistics are those of nn.BatchNorm2d."

    def __init__(self) -> None:
        super().__init__("batch")

    def prepare(self, function: type[nn.Module]) -> Callable:
        layer = construct(function, 6, eps=0.1, momentum=0.3)
        missing = [
            name
            for name in (*AFFINE, *_RUNNING)
            if not isinstance(getattr(layer, name, None), torch.Tensor)
            or getattr(layer, name).shape != (6,)
        ]
        if missing:
            raise Wrong(
                f"The layer lacks {', '.join(missing)} of shape (C,).",
                "keep the stub's __init__: weight, bias, running_mean and running_var.",
            )

        if any(name not in dict(layer.named_buffers()) for name in _RUNNING):
            raise Wrong(
                "running_mean and running_var are not in the layer's state_dict.",
                "running statistics are buffers (register_buffer): else they are neither saved nor "
                "moved to another device.",
            )

        def run(
            x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
        ) -> torch.Tensor:
            layer = construct(function, x.shape[1], eps=eps, momentum=0.3)
            layer = layer.to(x.device, x.dtype)
            return torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))

        run.layer = function
        return run

    def special(self, i: Inputs, got: tuple[torch.Tensor, ...]) -> str:
        mean, variance = Way((0, 2, 3), correction=1).statistics(i.x, 1)
        biased = Way((0, 2, 3)).statistics(i.x, 1)[1]
        fresh = (torch.zeros_like(mean), torch.ones_like(mean))
        moved = [
            (0.3 * mean, 0.7 + 0.3 * variance),
            (0.3 * mean, 0.7 + 0.3 * biased),
            (0.7 * mean, 0.3 + 0.7 * variance),
        ]
        for running_mean, running_var in [fresh, *moved]:
            if alike(got, (_evaluated(i, running_mean, running_var),)):
                return (
                    "in train mode the input is normalised with the running statistics. They are "
                    "for eval mode: here the batch's own mean and variance count."
                )
        return ""

    def extra(self, function: Callable) -> None:
        _try_running_statistics(function.layer)


_RUNNING = ("running_mean", "running_var")


def _evaluated(i: Inputs, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """What batch norm gives in eval mode."""
    return F.batch_norm(i.x, mean.flatten(), variance.flatten(), i.gamma, i.beta, eps=i.eps)


def _try_running_statistics(cls: type[nn.Module]) -> None:
    momentum = 0.3
    layer = construct(cls, 6, eps=0.1, momentum=momentum).double()
    twin = nn.BatchNorm2d(6, eps=0.1, momentum=momentum).double()
    inputs = [sample("batch", shape, seed=seed).to(torch.float64) for seed, shape in _STEPS]
    with torch.no_grad():
        layer.weight.copy_(inputs[0].gamma), layer.bias.copy_(inputs[0].beta)
        layer.running_mean.copy_(torch.linspace(-1, 1, 6))
        layer.running_var.copy_(torch.linspace(0.5, 2, 6))
        for name in (*AFFINE, *_RUNNING):
            getattr(twin, name).copy_(getattr(layer, name))
    for step, i in enumerate(inputs):
        old = {name: getattr(twin, name).clone() for name in _RUNNING}
        layer(i.x.requires_grad_()), twin(i.x)
        i.x.requires_grad_(False)
        _compare_running(layer, twin, old, i.x, momentum, step)
    _try_eval_mode(layer, twin, inputs[0])
    _try_train_mode_without_gradient(layer, twin, inputs[1])


_STEPS = ((1, (5, 6, 3, 4)), (2, (2, 6, 2, 2)), (3, (5, 6, 3, 4)))


def _compare_running(
    layer: nn.Module,
    twin: nn.Module,
    old: dict[str, torch.Tensor],
    x: torch.Tensor,
    momentum: float,
    step: int,
) -> None:
    """Raise Wrong unless the running statistics moved as PyTorch's did."""
    biased, new_mean = torch.var_mean(x, (0, 2, 3), correction=0)
    unbiased = x.var((0, 2, 3))
    known: dict[str, list[tuple[torch.Tensor, str]]] = {"running_mean": [], "running_var": []}
    for name, new in [("running_mean", new_mean), ("running_var", unbiased)]:
        known[name] = [
            (old[name], f"{name} does not move in train mode: update it in every forward pass."),
            (momentum * old[name] + (1 - momentum) * new, INVERTED),
            (new, REPLACED),
            (old[name] + momentum * new, "the old value must be scaled by 1 − momentum."),
            (0.9 * old[name] + 0.1 * new, "momentum is fixed at 0.1: use self.momentum."),
        ]
    start = old["running_var"]
    known["running_var"] += [
        ((1 - momentum) * start + momentum * biased, BIASED),
        (momentum * start + (1 - momentum) * biased, f"{INVERTED} And {BIASED}"),
        (biased, f"{REPLACED} And {BIASED}"),
        (0.9 * start + 0.1 * biased, f"momentum is fixed at 0.1: use self.momentum. And {BIASED}"),
        (
            (1 - momentum) * start + momentum * unbiased.sqrt(),
            "running_var takes the variance, not the standard deviation.",
        ),
        (
            (1 - momentum) * start + momentum * biased.sqrt(),
            "running_var takes the variance, not the standard deviation.",
        ),
        (
            (1 - momentum) * start + momentum * (unbiased + 0.1),
            "eps does not belong into running_var.",
        ),
        (
            (1 - momentum) * start + momentum * (biased + 0.1),
            f"eps does not belong into running_var. And {BIASED}",
        ),
    ]
    for name in _RUNNING:
        got, right = getattr(layer, name), getattr(twin, name)
        if got.requires_grad:
            raise Wrong(
                f"{name} carries a gradient after a training step.",
                "update the running statistics under torch.no_grad() or from .detach()ed values: "
                "else every step keeps the graphs of all steps before alive in memory.",
            )
        if got.shape != right.shape:
            raise Wrong(
                f"After a training step {name} has the shape {tuple(got.shape)}, not (C,).",
                "flatten the batch's statistics before they move the running ones.",
            )
        if not alike((got,), (right,)):
            hint = next((h for value, h in known[name] if alike((got,), (value,))), "")
            raise Wrong(
                f"After training step {step + 1} {name} is wrong: {difference(got, right)}.",
                hint or f"{name} ← (1 − momentum) · {name} + momentum · the batch's.",
            )


def _try_eval_mode(layer: nn.Module, twin: nn.Module, i: Inputs) -> None:
    layer.eval(), twin.eval()
    before = {name: getattr(layer, name).clone() for name in _RUNNING}
    right = twin(i.x)
    got = layer(i.x)
    if not alike((got,), (right,)):
        with torch.no_grad():
            for name in _RUNNING:  # what a layer in the wrong mode has moved
                getattr(layer, name).copy_(before[name])
            without_gradient = layer(i.x)
        if alike((without_gradient,), (right,)):
            raise Wrong(
                "In eval mode the output is right under no_grad only.",
                "train or eval is guessed from the gradient mode: ask self.training, which "
                ".train() and .eval() set.",
            )
        batch = F.batch_norm(i.x, None, None, layer.weight, layer.bias, training=True, eps=0.1)
        variance = before["running_var"]
        shaped = [t.detach()[:, None, None] for t in (before["running_mean"], variance)]
        centred = (i.x - shaped[0]) * layer.weight[:, None, None]
        outside = centred / (shaped[1].sqrt() + 0.1) + layer.bias[:, None, None]
        without = centred / shaped[1].sqrt() + layer.bias[:, None, None]
        hints = [
            (
                batch,
                "in eval mode the batch's own statistics are used: once self.training is False, "
                "running_mean and running_var take their place.",
            ),
            (outside, "eps stands outside the root in eval mode: sqrt(running_var + eps)."),
            (without, "eps is missing in eval mode: sqrt(running_var + eps)."),
        ]
        hint = next((h for value, h in hints if alike((got,), (value,))), "")
        raise Wrong(
            f"In eval mode the output is wrong: {difference(got, right)}.",
            hint or "in eval mode: gamma · (x − running_mean) / sqrt(running_var + eps) + beta.",
        )
    for name in _RUNNING:
        if not torch.equal(getattr(layer, name), before[name]):
            raise Wrong(
                f"In eval mode {name} moves.",
                "the running statistics are updated in eval mode: only training may move them, "
                "else the test images leak into the model.",
            )
    with torch.no_grad():
        if not alike((layer(i.x),), (right,)):
            raise Wrong(
                "In eval mode the output changes under no_grad.",
                "train or eval is guessed from the gradient mode: ask self.training.",
            )
    single = i.x[:1, :, :1, :1]
    if not alike((layer(single),), (twin(single),)):
        raise Wrong(
            "In eval mode a batch of one value a channel is normalised wrongly.",
            "in eval mode nothing may be computed from the batch.",
        )


def _try_train_mode_without_gradient(layer: nn.Module, twin: nn.Module, i: Inputs) -> None:
    layer.train(), twin.train()
    with torch.no_grad():
        got, right = layer(i.x), twin(i.x)
        if not alike((got,), (right,)) or not all(
            alike((getattr(layer, n),), (getattr(twin, n),)) for n in _RUNNING
        ):
            raise Wrong(
                "In train mode, but under no_grad, output or running statistics are wrong.",
                "train or eval is guessed from the gradient mode: ask self.training.",
            )
