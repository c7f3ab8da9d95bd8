"""What is asked of a layer's class, whatever its norm: arguments, parameters, a fresh start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from common.exercises.devices import move
from common.exercises.errors import hint_for
from common.exercises.inputs import Inputs, alike, difference, sample
from common.exercises.learner import Learner, line_of
from common.exercises.verdict import Wrong
from common.exercises.whole_norms import Normalised

AFFINE = {"weight": 1.0, "bias": 0.0}  # gamma and beta, and how they start


@dataclass
class LayerTask(Normalised):
    """A class layer(size, eps, …) with the parameters weight and bias.

    signature: its arguments, as the stub has them.
    """

    signature: str = ""
    size_word: str = ""
    init_is_given: ClassVar[bool] = True  # by the stub
    usual: ClassVar[dict[str, float]] = {"eps": 0.1}  # the arguments after the size

    def size_of(self, x: torch.Tensor) -> Any:
        """The layer's first argument for an input x."""
        raise NotImplementedError

    def shape_of(self, x: torch.Tensor) -> tuple[int, ...]:
        """The shape of weight and bias for an input x."""
        raise NotImplementedError

    def wrong_shape(self, layer: nn.Module, x: torch.Tensor, name: str) -> Wrong:
        """What to say of a parameter of the wrong shape."""
        got, right = tuple(getattr(layer, name).shape), self.shape_of(x)
        return Wrong(
            f"For inputs of shape {tuple(x.shape)} {name} has the shape {got}, not {right}.",
            f"the shape follows from the argument: {self.size_word}.",
        )

    def build(self, learner: Learner, x: torch.Tensor, **keywords: Any) -> nn.Module:
        """A fresh layer for an input x."""
        _ask_for_a_class(learner.answer)
        return learner(self.size_of(x), **{**self.usual, **keywords})

    def forward(self, learner: Learner, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The layer's output, which must be a tensor."""
        with learner.care("forward"):
            y = layer(x)
        if not isinstance(y, torch.Tensor):
            raise Wrong(
                f"forward returns {type(y).__name__}, not a tensor.", "is the return line missing?"
            )
        return y

    def prepare(self, learner: Learner) -> Callable:
        """A function of x, gamma, beta and eps that runs a fresh layer."""
        i = sample(self.layout)
        layer = self.build(learner, i.x)
        try:
            self.look_at(layer, i.x)
        except Wrong:
            if self.init_is_given:
                # Is it a stub? Only running it tells.
                self._run_for_a_stub(learner, layer, i.x)
            raise
        for shape in ((2, 4, 3, 3), (2, 3, 2, 1)):
            x = sample(self.layout, shape).x
            self.look_at(self.build(learner, x), x)

        def run(
            x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
        ) -> torch.Tensor:
            layer = move(self.build(learner, x, eps=eps), x)
            kept = []
            layer.register_forward_hook(
                lambda layer, *_: kept.append(layer.weight is gamma and layer.bias is beta)
            )
            try:
                with learner.care("forward"):
                    y = torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))
            except NotImplementedError as error:
                if self.init_is_given or error.args:
                    raise
                raise Wrong(
                    "__init__ is right, forward is not finished yet.",
                    "go on there: raise NotImplementedError stands where the result belongs.",
                    line_of(error),
                ) from None
            if not all(kept):
                raise Wrong(
                    "forward puts another tensor in the place of self.weight or self.bias.",
                    "parameters are made once, in __init__: one made anew in every forward pass "
                    "never learns.",
                )
            return y

        run.learner = learner
        return run

    @staticmethod
    def _run_for_a_stub(learner: Learner, layer: nn.Module, x: torch.Tensor) -> None:
        try:
            with learner.care("forward"):
                layer(x)
        except NotImplementedError:
            raise
        except Exception:
            return

    def look_at(self, layer: nn.Module, x: torch.Tensor) -> None:
        """Raise Wrong unless a fresh layer holds what it should."""
        parameters = dict(layer.named_parameters())
        for name, start in AFFINE.items():
            value = getattr(layer, name, None)
            if name not in parameters:
                raise Wrong(*self.no_parameter(layer, name, value))
            if not value.requires_grad:
                raise Wrong(
                    f"The parameter {name} has requires_grad=False.",
                    "an optimiser would never change it: gamma and beta are learnt, so leave "
                    "requires_grad as nn.Parameter sets it.",
                )
            if tuple(value.shape) != self.shape_of(x):
                raise self.wrong_shape(layer, x, name)
            if not bool((value == start).all()):
                raise Wrong(
                    f"The parameter {name} does not start as {start:g} everywhere.",
                    "gamma starts at 1 and beta at 0, so that the norm starts as x̂ itself.",
                )
        others = [name for name in parameters if name not in AFFINE]
        if others:
            raise Wrong(
                f"The layer has more parameters than weight and bias: {', '.join(others)}.",
                "gamma and beta are all that is learnt. What is not learnt is no nn.Parameter.",
            )

    def no_parameter(self, layer: nn.Module, name: str, value: Any) -> tuple[str, str]:
        """Symptom and hint for a parameter that the layer itself does not hold."""
        letter = {"weight": "gamma", "bias": "beta"}[name]
        symptom = f"The layer has no parameter called {name}."
        inner = {n: p for n, p in layer.named_parameters() if n.endswith(f".{name}")}
        if inner:
            return symptom, (
                f"{', '.join(inner)} belongs to a layer inside of yours: {letter} is to be a "
                f"parameter of your own, self.{name} = nn.Parameter(…) in __init__."
            )
        if value is None:
            own = [n for n in layer._parameters if n not in AFFINE]
            keep = "keep the stub's __init__ and its names: " if self.init_is_given else ""
            other = (
                f" Or does self.{' or self.'.join(own)} stand for it? Names count." if own else ""
            )
            return symptom, (
                f"{keep}{letter} is self.{name}, an nn.Parameter that __init__ makes, once and "
                f"directly in your layer.{other}"
            )
        what = "a buffer" if name in dict(layer.named_buffers()) else "a plain tensor"
        if not isinstance(value, torch.Tensor):
            what = f"of type {type(value).__name__}"
        return (
            f"{symptom} self.{name} is {what}.",
            f"make {letter} learnable, or no optimiser will see it: self.{name} = nn.Parameter(…).",
        )

    def extra(self, run: Callable) -> None:
        """Arguments by place, and two layers that share nothing."""
        learner, i = run.learner, sample(self.layout)
        by_name = self.build(learner, i.x)
        by_place = learner(self.size_of(i.x), *self.usual.values())
        same = [self.forward(learner, layer, i.x) for layer in (by_name, by_place)]
        if not alike(same[:1], same[1:]):
            raise Wrong(
                f"Called as {self.signature}, without names, the arguments are taken for others: "
                f"{difference(same[1], same[0])}.",
                "keep the order of the stub's arguments in __init__.",
            )
        if any(getattr(by_name, name) is getattr(by_place, name) for name in AFFINE):
            raise Wrong(
                "Two layers have the same weight or bias.",
                "what belongs to one layer is made in __init__ and assigned to self; what stands "
                "in the class or outside of it is shared by all layers.",
            )

    def word(self, name: str) -> str:
        """What the learner calls one of the inputs."""
        return {"gamma": "self.weight", "beta": "self.bias"}.get(name, name)

    def hint(self, error: Exception, line: str) -> str:
        """What an error in the learner's code usually means here."""
        return hint_for(
            error,
            line,
            self.layout,
            f"in a new cell, make a layer, {self.signature}, and call it on "
            "torch.randn(5, 6, 3, 4)",
        )


def _ask_for_a_class(answer: Any) -> None:
    if not isinstance(answer, type) or not issubclass(answer, nn.Module):
        raise Wrong(
            f"The check got {getattr(answer, '__name__', type(answer).__name__)}, not a layer's "
            "class.",
            "hand over the class itself, a subclass of nn.Module, without calling it.",
        )


def of_inputs(layer: nn.Module, i: Inputs) -> None:
    """Give the layer the gamma and beta of the inputs."""
    with torch.no_grad():
        layer.weight.copy_(i.gamma)
        layer.bias.copy_(i.beta)
