"""An epoch of the learner's, watched: whether its steps follow the gradients of a usual loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.inputs import alike
from common.exercises.verdict import Wrong


class Epoch:
    """What happens in an epoch: what each batch sends back to the outputs, and what steps use.

    network: called once a batch; its last layer's bias shows which gradients a step uses.
    steps: of each step, whether its gradients are those of its batch alone.
    """

    def __init__(
        self,
        network: nn.Module,
        last: nn.Module,
        optimiser: torch.optim.Optimizer,
        batches: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self.last, self.batches = last, list(batches)
        self.steps: list[bool] = []
        self.without: int = 0  # steps for which there were no gradients
        self.calls: list[tuple[torch.Tensor, torch.Tensor]] = []  # images, outputs
        self.sent_back: dict[int, torch.Tensor] = {}
        network.register_forward_hook(self._forward)
        optimiser.register_step_pre_hook(self._step)

    def _forward(self, layer: nn.Module, args: Any, output: torch.Tensor) -> None:
        k = len(self.calls)
        self.calls.append((args[0], output.detach()))
        if output.requires_grad:
            output.register_hook(lambda gradient: self.sent_back.__setitem__(k, gradient.detach()))

    def _step(self, *_: Any) -> None:
        gradient = self.last.bias.grad
        self.without += gradient is None or not gradient.any()
        last = self.sent_back[max(self.sent_back)].sum(0) if self.sent_back else None
        self.steps.append(gradient is None or last is None or alike((gradient,), (last,)))

    def must_step_with_gradients(self) -> None:
        """Raise Wrong if no step had a gradient."""
        if self.steps and self.without == len(self.steps) and not self.sent_back:
            raise Wrong(
                "Nothing learns: no gradient has come back to the network's outputs.",
                "loss.backward() goes back from a loss of the outputs themselves: is it called, "
                "and is nothing detached on the way (.detach(), .data, .item(), no_grad)?",
            )
        if self.steps and self.without == len(self.steps) and self.sent_back:
            raise Wrong(
                "Nothing learns: at optimiser.step() there are no gradients.",
                "the order: zero_grad(), backward(), step(). Whatever stands between backward() "
                "and step() must not clear them, and step() comes last.",
            )

    def must_learn_the_labels(self) -> None:
        """Raise Wrong unless each batch's loss pushes its labels' outputs up.

        With any usual loss the gradient of an image's output for its own class is negative.
        """
        for k, gradient in sorted(self.sent_back.items()):
            images, output = self.calls[k]
            y = next((y for x, y in self.batches if torch.equal(x, images)), None)
            if y is None:  # changed on the way, by an augmentation, say
                continue
            own = gradient.gather(1, y[:, None])[:, 0]
            if bool((own > 0).all() and (gradient.sum(1) < own).all()):
                raise Wrong(
                    "The training makes the loss larger.",
                    "the sign of the loss is wrong: step() goes downhill by itself.",
                )
            if float((own > 0).float().mean()) > 0.25 or float((own < 0).float().mean()) < 0.5:
                raise Wrong(
                    "The training pushes images towards classes that are not theirs.",
                    "the loss compares the outputs for x with its own labels, the y of its batch.",
                )
            if _same_direction(gradient, _gradient_of(F.cross_entropy, output, y)):
                continue
            for loss, hint in _LOSSES:
                if _same_direction(gradient, _gradient_of(loss, output, y)):
                    raise Wrong("The loss is computed of something else than the outputs.", hint)


_Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_TWICE = (
    "F.cross_entropy takes the outputs as they are and applies the softmax itself: no {} first."
)
_NLL = "F.nll_loss takes logarithms, log_softmax; with the outputs as they are, F.cross_entropy."
_LOSSES: list[tuple[_Loss, str]] = [
    (lambda z, y: F.cross_entropy(z.softmax(1), y), _TWICE.format("softmax")),
    (lambda z, y: F.cross_entropy(z.sigmoid(), y), _TWICE.format("sigmoid")),
    (lambda z, y: F.cross_entropy(z.relu(), y), _TWICE.format("relu")),
    (lambda z, y: F.nll_loss(z.softmax(1), y), _NLL),
    (lambda z, y: F.nll_loss(z, y), _NLL),
]


def _gradient_of(loss: _Loss, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        z = output.clone().requires_grad_()
        return torch.autograd.grad(loss(z, y), z)[0]


def _same_direction(one: torch.Tensor, other: torch.Tensor) -> bool:
    return alike((one / one.norm(),), (other / other.norm(),))
