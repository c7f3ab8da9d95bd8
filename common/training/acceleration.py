"""Two ways to make a training step cheaper, both off unless asked for.

*Compilation*: PyTorch turns the network, its loss and their gradients into fewer, larger kernels,
and on CUDA records them as a graph that is launched as one. A network this small keeps a GPU
waiting for the next launch most of the time, so that is where it can pay; on the CPUs tried it
costs a minute and gains nothing. *bfloat16*: convolutions and matrix products in half the bits,
weights and norms' statistics in float32. It needs hardware made for it.

Both change the last digits of a result; a history says so under ``acceleration``.
Sources: https://docs.pytorch.org/docs/stable/generated/torch.compile.html and
https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import settings

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Acceleration:
    """What is done to the step of one run.

    Attributes:
        compiled: whether the step goes through ``torch.compile``.
        bfloat16: whether autocast runs what it can in bfloat16.
    """

    compiled: bool = False
    bfloat16: bool = False

    @classmethod
    def chosen(cls) -> Acceleration:
        """What ``NORMS_COMPILE`` and ``NORMS_BF16`` ask for."""
        return cls(settings.switch("NORMS_COMPILE"), settings.switch("NORMS_BF16"))

    def __str__(self) -> str:
        return ", ".join(name for name in ("compiled", "bfloat16") if getattr(self, name))


def make_forward(
    model: nn.Module, label_smoothing: float, bfloat16: bool, *, stacked: bool = False
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
    mode = "reduce-overhead" if x.device.type == "cuda" else "default"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    devices = [x.device] if x.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            compiled = torch.compile(forward, mode=mode, dynamic=False)
            compiled(x, y)[0].sum().backward()
    # Anything may go wrong here: no C++ compiler, an operator it does not know, an old GPU.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"torch.compile failed here ({reason}); this run goes on without it, to the same "
            "result, only slower. Unset NORMS_COMPILE to leave it out from the start.",
            stacklevel=2,
        )
        return None
    finally:
        model.load_state_dict(before)
        model.zero_grad()
    return compiled
