"""Batch norm as a layer: its running statistics through training, evaluation and loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from common.exercises.inputs import Inputs, alike, difference, first_alike, name_of_dtype, sample
from common.exercises.layers import LayerTask, of_inputs
from common.exercises.learner import Learner, line_of, told
from common.exercises.running_mistakes import (
    EPS,
    MOMENTUM,
    RUNNING,
    STEPS,
    evaluated,
    known_in_eval_mode,
    known_moves_in_eval_mode,
    known_steps,
    other_momentum,
)
from common.exercises.tasks import Results
from common.exercises.verdict import Wrong
from common.exercises.ways import Way

_MODE = "train or eval is guessed from {}: ask self.training, which .train() and .eval() set."
_SHARED = "the layers share their running statistics"
_COPY = (
    "in eval mode normalise with self.running_mean and self.running_var themselves, not with a "
    "copy or with something derived from them earlier."
)


@dataclass
class BatchNormLayer(LayerTask):
    """A class layer(channels, eps, momentum) with running statistics."""

    success: str = "Right: outputs, gradients and running statistics are those of nn.BatchNorm2d."
    signature: str = "MyBatchNorm(channels, eps, momentum)"
    size_word: str = "torch.ones(channels) and torch.zeros(channels), without numbers of your own"

    usual: ClassVar[dict[str, float]] = {"eps": EPS, "momentum": MOMENTUM}

    def size_of(self, x: torch.Tensor) -> int:
        """The number of channels."""
        return x.shape[1]

    def shape_of(self, x: torch.Tensor) -> tuple[int, ...]:
        """The shape (C,)."""
        return (x.shape[1],)

    def look_at(self, layer: nn.Module, x: torch.Tensor) -> None:
        """Raise Wrong unless a fresh layer holds what it should."""
        super().look_at(layer, x)
        for name, start in RUNNING.items():
            value = getattr(layer, name, None)
            if not isinstance(value, torch.Tensor):
                raise Wrong(
                    f"A fresh layer has no {name} of shape (C,).",
                    "keep the stub's __init__: weight, bias, running_mean and running_var. What "
                    "forward makes later is missing in a layer that is only evaluated.",
                )
            if name not in dict(layer.named_buffers()):
                raise Wrong(
                    f"{name} is no buffer of the layer.",
                    "running statistics are buffers, self.register_buffer(name, tensor): a plain "
                    "tensor is neither saved nor moved to another device.",
                )
            if name not in layer.state_dict():
                raise Wrong(
                    f"{name} is not in the layer's state_dict.",
                    "persistent=False leaves a buffer out of what is saved: without the running "
                    "statistics a loaded network cannot be evaluated.",
                )
            if tuple(value.shape) != self.shape_of(x):
                raise self.wrong_shape(layer, x, name)
            if not bool((value == start).all()):
                raise Wrong(
                    f"In a fresh layer {name} is not {start:g} everywhere.",
                    "before any training PyTorch's running_mean is 0 and its running_var 1. If "
                    f"yours are so in __init__, {_SHARED}: another one has moved them.",
                )

    def _hear_of_parameters(self, layer: nn.Module) -> None:
        for name in RUNNING:
            if name in dict(layer.named_parameters()):
                raise Wrong(
                    f"{name} is a parameter of the layer.",
                    "an optimiser would train it: running statistics are no nn.Parameter but "
                    "buffers, self.register_buffer(name, tensor).",
                )

    def build(self, learner: Learner, x: torch.Tensor, **keywords: float) -> nn.Module:
        """A fresh layer for an input x."""
        layer = super().build(learner, x, **keywords)
        self._hear_of_parameters(layer)
        return layer

    def special(self, i: Inputs, got: Results) -> str:
        """The hint for mistakes that are no way of their own; else ""."""
        mean, variance = Way((0, 2, 3), correction=1).statistics(i.x, 1)
        biased = Way((0, 2, 3)).statistics(i.x, 1)[1]
        m = MOMENTUM
        # A fresh layer's running_mean is 0, and m · mean once it has moved.
        for share in (1, 1 - m):
            if alike(got, (evaluated(i, mean, biased + (share * mean).square()),)):
                return (
                    "the variance is the mean of x², not of (x − mean)²: subtract the batch's own "
                    "mean first, not running_mean, which is 0 in a fresh layer."
                    if share == 1
                    else "the variance is taken around running_mean: subtract the batch's own mean."
                )
        for running_mean, running_var in (
            (torch.zeros_like(mean), torch.ones_like(mean)),
            (m * mean, 1 - m + m * variance),
            (m * mean, 1 - m + m * biased),
            ((1 - m) * mean, m + (1 - m) * variance),
        ):
            if alike(got, (evaluated(i, running_mean, running_var),)):
                hint = (
                    "in train mode the input is normalised with the running statistics. They are "
                    "for eval mode: here the batch's own mean and variance count."
                )
                if not running_mean.any():
                    hint += " Is self.training asked the wrong way round?"
                return hint
            for what, pair in (
                ("mean", (running_mean, biased)),
                ("variance", (mean, running_var)),
            ):
                # With a running mean of 0 it is none that is subtracted.
                if pair[0].any() and alike(got, (evaluated(i, *pair),)):
                    return (
                        "in train mode both statistics are the batch's own, here the "
                        f"{what} is the running one."
                    )
        return ""

    def extra(self, run: Callable) -> None:
        """The running statistics, step by step beside those of PyTorch's layer."""
        super().extra(run)
        _Life(self, run.learner).go_through()


class _Life:
    """A learner's layer and PyTorch's, from a fresh start through training, eval and loading."""

    def __init__(self, task: BatchNormLayer, learner: Learner) -> None:
        self.task, self.learner = task, learner
        shapes = ((5, 6, 3, 4), (2, 6, 2, 2), (1, 6, 3, 4))
        self.inputs = [
            sample("batch", shape, seed).to(torch.float64)
            for seed, shape in enumerate(shapes[:STEPS], 1)
        ]
        self.layer, self.twin = self.fresh(), _twin(self.inputs[0])

    def fresh(self) -> nn.Module:
        """A fresh layer of the learner's in float64."""
        layer = self.task.build(self.learner, self.inputs[0].x).double()
        of_inputs(layer, self.inputs[0])
        return layer

    def forward(self, x: torch.Tensor, layer: nn.Module | None = None) -> torch.Tensor:
        """The learner's output."""
        return self.task.forward(self.learner, self.layer if layer is None else layer, x)

    def go_through(self) -> None:
        """Raise Wrong at the first difference."""
        self.first_step()
        for step, i in enumerate(self.inputs, 1):
            self.step(i.x, f"After training step {step}")
        self.evaluation(self.inputs[0])
        self.loading(self.inputs[0])
        self.fresh_in_eval_mode(self.inputs[0])
        self.training_without_gradient(self.inputs[1])

    def first_step(self) -> None:
        """float32 stays float32, and another layer stays as it is."""
        x = sample("batch").x
        layer, bystander = (self.task.build(self.learner, x) for _ in range(2))
        self.forward(x, layer)
        for name in RUNNING:
            if getattr(layer, name).dtype != torch.float32:
                raise Wrong(
                    f"After a training step {name} is {name_of_dtype(getattr(layer, name))}.",
                    "wrong dtype: a float32 layer's running statistics stay float32.",
                )
        for name, start in RUNNING.items():
            if not bool((getattr(bystander, name) == start).all()):
                raise Wrong(
                    f"When one layer is trained, {name} of another one moves.",
                    f"{_SHARED}: make them in __init__, not in the class or outside of it.",
                )

    def step(self, x: torch.Tensor, when: str) -> None:
        """A training step of both layers."""
        old = {name: getattr(self.twin, name).clone() for name in RUNNING}
        self.forward(x.detach().clone().requires_grad_())
        self.twin(x)
        for name in RUNNING:
            got, right = getattr(self.layer, name), getattr(self.twin, name)
            if got.requires_grad:
                raise Wrong(
                    f"{name} carries a gradient after a training step.",
                    "update the running statistics under torch.no_grad() or from .detach()ed "
                    "values: else every step keeps the graphs of all steps before alive in memory.",
                )
            if got.shape != right.shape:
                raise Wrong(
                    f"After a training step {name} has the shape {tuple(got.shape)}, not (C,).",
                    "flatten the batch's statistics before they move the running ones.",
                )
            if not alike((got,), (right,)):
                raise Wrong(
                    f"{when} {name} is wrong: {difference(got, right)}.",
                    self.why(name, old, x)
                    or f"{name} ← (1 − momentum) · {name} + momentum · the batch's.",
                )

    def why(self, name: str, old: dict[str, torch.Tensor], x: torch.Tensor) -> str:
        """The hint for a wrong step; "" if it is none of the known ones."""
        hints = {}
        i = replace(self.inputs[0], x=x, gamma=self.twin.weight, beta=self.twin.bias)
        for n in RUNNING:
            got, known = getattr(self.layer, n), known_steps(n, old, i)
            hints[n] = [hint for value, hint in known if alike((got,), (value,))]
        # While running_mean is still 0, two mistakes look alike there, but not in running_var.
        for hint in hints[name]:
            if any(other.startswith(hint) for other in hints["running_var"]):
                return hint
        got = {n: getattr(self.layer, n) for n in RUNNING}
        return next(iter(hints[name]), "") or other_momentum(name, got, old, x)

    def evaluation(self, i: Inputs) -> None:
        """Outputs and gradients in eval mode, in which nothing moves."""
        self.layer.eval(), self.twin.eval()
        before = {name: getattr(self.layer, name).clone() for name in RUNNING}
        right, got = self.twin(i.x), self.forward(i.x)
        if not alike((got,), (right,)):
            self.wrong_in_eval_mode(i, got, right, before)
        for name, value in before.items():
            moved = getattr(self.layer, name)
            if not torch.equal(moved, value):
                raise Wrong(
                    f"In eval mode {name} moves.",
                    first_alike(moved, known_moves_in_eval_mode(name, value))
                    or "the running statistics are updated in eval mode: only training may move "
                    "them, else the test images leak into the model.",
                )
        with torch.no_grad():
            if not alike((self.forward(i.x),), (right,)):
                raise Wrong(
                    "In eval mode the output changes under no_grad.",
                    _MODE.format("the gradient mode"),
                )
        self.gradient_in_eval_mode(i)
        single = i.x[:1, :, :1, :1]
        if not alike((self.forward(single),), (self.twin(single),)):
            raise Wrong(
                "In eval mode a batch of one value a channel is normalised wrongly.",
                "in eval mode nothing may be computed from the batch.",
            )

    def gradient_in_eval_mode(self, i: Inputs) -> None:
        """Gradients flow in eval mode as well."""
        x = i.x.detach().clone().requires_grad_()
        y, right = self.forward(x), self.twin(x)
        wanted = [x, self.layer.weight, self.layer.bias]
        got = torch.autograd.grad(y.sum(), wanted, allow_unused=True) if y.requires_grad else [None]
        mine = torch.autograd.grad(right.sum(), [x, self.twin.weight, self.twin.bias])
        if len(got) < 3 or not alike(got, mine):
            raise Wrong(
                "In eval mode the output is right, but its gradient is not.",
                "eval mode is not no_grad: do not switch the gradient off in forward. Whoever "
                "evaluates decides that.",
            )

    def wrong_in_eval_mode(
        self, i: Inputs, got: torch.Tensor, right: torch.Tensor, before: dict[str, torch.Tensor]
    ) -> None:
        """Raise Wrong with what explains the output in eval mode."""
        with torch.no_grad():
            for name, value in before.items():  # what a layer in the wrong mode has moved
                getattr(self.layer, name).copy_(value)
            without_gradient = self.forward(i.x)
        if alike((without_gradient,), (right,)):
            raise Wrong(
                "In eval mode the output is right under no_grad only.",
                _MODE.format("the gradient mode"),
            )
        hint = first_alike(got, known_in_eval_mode(self.twin, i, before))
        raise Wrong(
            f"In eval mode the output is wrong: {difference(got, right)}.",
            hint or "in eval mode: gamma · (x − running_mean) / sqrt(running_var + eps) + beta.",
        )

    def loading(self, i: Inputs) -> None:
        """Other statistics are loaded; then training and evaluation take turns."""
        state = self.twin.state_dict()
        state["running_mean"] = torch.linspace(-1, 1, 6, dtype=torch.float64)
        state["running_var"] = torch.linspace(0.5, 2, 6, dtype=torch.float64)
        self.layer.load_state_dict(state, strict=False)
        self.twin.load_state_dict(state)
        for when in ("After load_state_dict", "After evaluation, training and evaluation again"):
            got, right = self.forward(i.x), self.twin(i.x)
            if not alike((got,), (right,)):
                raise Wrong(
                    f"{when} the output in eval mode is wrong: {difference(got, right)}.", _COPY
                )
            self.layer.train(), self.twin.train()
            self.step(self.inputs[1].x, "After load_state_dict and a training step")
            self.layer.eval(), self.twin.eval()

    def fresh_in_eval_mode(self, i: Inputs) -> None:
        """A layer that was never trained can be evaluated, and be given a state."""
        layer, twin = self.fresh().eval(), _twin(i).eval()
        try:
            got = self.forward(i.x, layer)
        except Exception as error:
            raise Wrong(
                f"A layer that was never trained fails in eval mode with {told(error)}.",
                "everything that eval mode needs is made in __init__, nothing in a training step.",
                line_of(error),
            ) from None
        if not alike((got,), (twin(i.x),)):
            i = replace(i, gamma=twin.weight, beta=twin.bias, eps=EPS)
            trained = (self.layer.running_mean, self.layer.running_var)
            of_another = any(
                alike((got,), (evaluated(i, mean, variance),))
                for mean in (trained[0], twin.running_mean)
                for variance in (trained[1], twin.running_var)
            )
            raise Wrong(
                "A layer that was never trained gives a wrong output in eval mode: "
                f"{difference(got, twin(i.x))}.",
                f"{_SHARED}: another one has moved them."
                if of_another
                else "there, too, the running statistics count, 0 and 1 as they are.",
            )

    def training_without_gradient(self, i: Inputs) -> None:
        """Train mode does not depend on the gradient mode."""
        self.layer.train(), self.twin.train()
        with torch.no_grad():
            got, right = self.forward(i.x), self.twin(i.x)
        moved = [(getattr(layer, n) for n in RUNNING) for layer in (self.layer, self.twin)]
        if not alike((got,), (right,)) or not alike(*map(tuple, moved)):
            raise Wrong(
                "In train mode, but under no_grad, output or running statistics are wrong.",
                _MODE.format("the gradient mode"),
            )


def _twin(i: Inputs) -> nn.BatchNorm2d:
    twin = nn.BatchNorm2d(6, eps=EPS, momentum=MOMENTUM).double()
    of_inputs(twin, i)
    return twin
