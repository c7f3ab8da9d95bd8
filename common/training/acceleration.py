"""Three ways to make a training step cheaper, all off unless asked for.

*Recording* (CUDA only): the kernels of the network's forward and backward pass are recorded once,
as two graphs, each of which is launched as one from then on. A network this small keeps a GPU
waiting for the next launch most of the time; recording takes a second. A graph repeats kernels and
nothing else: hooks, and whatever else a layer does in Python, would not happen again.
*Compilation*: PyTorch turns the network, its loss and their gradients into fewer, larger kernels,
and on CUDA records those as well; it takes a minute, and on the CPUs tried it gains nothing.
*bfloat16*: convolutions and matrix products in half the bits, weights and norms' statistics in
float32. It needs hardware made for it.

All can change the last digits of a result; a history says so under ``acceleration``.
Sources: https://docs.pytorch.org/docs/stable/generated/torch.cuda.make_graphed_callables.html,
https://docs.pytorch.org/docs/stable/generated/torch.compile.html and
https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import settings

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Acceleration:
    """What is done to the step of one run.

    Attributes:
        compiled: whether the step goes through ``torch.compile``.
        bfloat16: whether autocast runs what it can in bfloat16.
        recorded: whether the network's passes are replayed as CUDA graphs.
    """

    compiled: bool = False
    bfloat16: bool = False
    recorded: bool = False

    @classmethod
    def chosen(cls) -> Acceleration:
        """What ``NORMS_COMPILE``, ``NORMS_BF16`` and ``NORMS_RECORD`` ask for."""
        return cls(*map(settings.switch, ("NORMS_COMPILE", "NORMS_BF16", "NORMS_RECORD")))

    def __str__(self) -> str:
        return ", ".join(name for name in vars(self) if getattr(self, name))


def make_forward(
    model: Callable[[Tensor], Tensor],
    label_smoothing: float,
    bfloat16: bool,
    *,
    stacked: bool = False,
) -> Forward:
    """A function from a batch ``(N, C, H, W)`` and its labels to its mean loss and number right.

    With a ``stacked`` model (``together.py``) it takes K batches, ``(K, N, C, H, W)``, and
    returns K losses and numbers.
    """
    cross_entropy = partial(F.cross_entropy, label_smoothing=label_smoothing)
    if stacked:
        cross_entropy = torch.vmap(cross_entropy)

    def forward(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # Entered only where it is wanted: some devices warn of autocast even when it is off.
        with torch.autocast(x.device.type, torch.bfloat16) if bfloat16 else nullcontext():
            out = model(x)
        # The loss in float32 whatever the network ran in; on float32 outputs this does nothing.
        return cross_entropy(out.float(), y), (out.argmax(-1) == y).sum(-1)

    return forward


def compile_or_explain(forward: Forward, model: nn.Module, x: Tensor, y: Tensor) -> Forward | None:
    """``forward`` compiled, after a trial on one batch; None, with a warning, if that fails.

    The trial goes forward and backward and leaves the model (parameters, buffers, gradients) and
    the random state as they were, so that a run starts the same whether or not it succeeds.
    """

    def attempt() -> Forward:
        mode = "reduce-overhead" if x.device.type == "cuda" else "default"
        compiled = torch.compile(forward, mode=mode, dynamic=False)
        compiled(x, y)[0].sum().backward()
        return compiled

    return _tried(attempt, model, x.device, "torch.compile", "NORMS_COMPILE")


def record_or_explain(model: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor] | None:
    """``model`` for training on batches of the shape of ``x``, replayed as CUDA graphs.

    Batches of other shapes go through the model as ever. None, with a warning, where it cannot be
    recorded: not on CUDA, with hooks, or with layers whose work depends on values. The trial
    leaves model and random state as they were.
    """

    def attempt() -> Callable[[Tensor], Tensor]:
        if x.device.type != "cuda":
            raise RuntimeError(f"only CUDA can record, and this is {x.device.type}")
        if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
            raise RuntimeError("a graph would not call the hooks of its layers")
        replayed = torch.cuda.make_graphed_callables(_Whole(model).train(), (x.clone(),))
        replayed(x).sum().backward()
        return lambda batch: replayed(batch) if batch.shape == x.shape else model(batch)

    return _tried(attempt, model, x.device, "recording CUDA graphs", "NORMS_RECORD")


class _Whole(nn.Module):
    """A module whose ``forward`` may be replaced, while the model it calls stays as it is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _tried(
    attempt: Callable[[], _T], model: nn.Module, device: torch.device, what: str, switch: str
) -> _T | None:
    """What ``attempt`` gives, the model left as it was; None, with a warning, if it fails."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mode = model.training
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return attempt()
    # Anything may go wrong here: no C++ compiler, an operator it does not know, an old GPU.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"{what} failed here ({reason}); this run goes on without it, to the same "
            f"result, only slower. Unset {switch} to leave it out from the start.",
            stacklevel=3,
        )
        return None
    finally:
        model.load_state_dict(before)
        model.zero_grad()
        model.train(mode)
