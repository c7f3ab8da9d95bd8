"""Networks for sequences: a recurrent one that reads an image row by row, and a transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SEQUENCE_NORMS = ("none", "layer", "rms", "group", "batch", "batch-step", "batch-masked")


def _chosen(make: dict[str, Callable[[], nn.Module]], kind: str) -> Callable[[], nn.Module]:
    if kind not in make:
        raise ValueError(f"Unknown norm {kind!r} here; choose one of {', '.join(make)}.")
    return make[kind]


class StepNorm(nn.Module):
    """A norm of features ``(N, F)`` inside a recurrent network, at time ``step``.

    ``layer`` and ``group`` (4 groups) look at one sequence; ``batch`` keeps one set of running
    statistics for all steps, ``batch-step`` one for each of the first ``steps`` and takes the
    last one's beyond (Cooijmans et al., 2017). In train mode a batch of one sequence has no
    spread, so batch norm then uses its running statistics.
    """

    def __init__(self, kind: str, features: int, steps: int) -> None:
        super().__init__()
        copies = steps if kind == "batch-step" else 1
        make = {
            "none": nn.Identity,
            "layer": lambda: nn.LayerNorm(features),
            "group": lambda: nn.GroupNorm(4, features),
            "batch": lambda: nn.BatchNorm1d(features),
            "batch-step": lambda: nn.BatchNorm1d(features),
        }
        self.norms = nn.ModuleList(_chosen(make, kind)() for _ in range(copies))

    def forward(self, x: Tensor, step: int) -> Tensor:
        norm = self.norms[min(step, len(self.norms) - 1)]
        if isinstance(norm, nn.BatchNorm1d) and self.training and len(x) == 1:
            return nn.functional.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias
            )
        return norm(x)


class RowReader(nn.Module):
    """A recurrent network (Elman, 1990) that reads ``(N, T, F)``, T up to each one's length.

    In each step the new state is ``tanh(norm(W x + U h))``, as Ba et al. (2016) put the norm; a
    sequence that has ended keeps its state. Returns logits ``(N, classes)``.
    """

    def __init__(
        self, norm: str, features: int = 96, hidden: int = 64, classes: int = 10, steps: int = 24
    ) -> None:
        super().__init__()
        self.reads = nn.Linear(features, hidden)
        self.remembers = nn.Linear(hidden, hidden, bias=False)
        nn.init.orthogonal_(self.remembers.weight)
        self.norm = StepNorm(norm, hidden, steps)
        self.answers = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.remembers.in_features)
        inputs = self.reads(x)
        for step in range(int(lengths.max())):
            running = lengths > step
            # Only sequences that have not ended take part: a norm never sees padding here.
            new = torch.tanh(
                self.norm(inputs[running, step] + self.remembers(state[running]), step)
            )
            state = state.index_put((running.nonzero()[:, 0],), new)
        return self.answers(state)


class TokenNorm(nn.Module):
    """A norm of ``(N, T, F)``, given which of the tokens are padding: ``real`` ``(N, T)``.

    ``layer``, ``rms`` and ``group`` look at one token (``group`` at its features in 4 groups),
    ``batch`` at a feature of all tokens with padding among them, ``batch-masked`` without it.
    """

    def __init__(self, kind: str, features: int) -> None:
        super().__init__()
        make = {
            "none": nn.Identity,
            "layer": lambda: nn.LayerNorm(features),
            "rms": lambda: nn.RMSNorm(features),
            "group": lambda: nn.GroupNorm(4, features),
            "batch": lambda: nn.BatchNorm1d(features),
            "batch-masked": lambda: nn.BatchNorm1d(features),
        }
        self.kind, self.norm = kind, _chosen(make, kind)()

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        if self.kind == "batch-masked":
            out = x.clone()
            out[real] = self.norm(x[real])
            return out
        if self.kind in ("batch", "group"):
            return self.norm(x.flatten(0, 1)).view_as(x)
        return self.norm(x)


class TransformerLayer(nn.Module):
    """Self-attention and two linear layers, with the norm before each or after (Xiong, 2020)."""

    def __init__(self, norm: str, width: int, pre: bool) -> None:
        super().__init__()
        self.pre = pre
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.thinks = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(),
                                    nn.Linear(4 * width, width))  # fmt: skip
        self.norms = nn.ModuleList(TokenNorm(norm, width) for _ in range(2))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        def attend(h: Tensor) -> Tensor:
            return self.attention(h, h, h, key_padding_mask=~real, need_weights=False)[0]

        for part, norm in zip((attend, self.thinks), self.norms, strict=True):
            x = x + part(norm(x, real)) if self.pre else norm(x + part(x), real)
        return x


class TinyTransformer(nn.Module):
    """A transformer that says a token for each token: ``(N, T)`` to logits ``(N, T, tokens)``.

    Token 0 is padding. Positions are learnt, up to ``longest``. Every token sees every other.
    """

    def __init__(
        self, norm: str, tokens: int, longest: int, layers: int = 1, width: int = 32,
        pre: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.places = nn.Parameter(torch.randn(longest, width) * 0.02)
        self.layers = nn.ModuleList(TransformerLayer(norm, width, pre) for _ in range(layers))
        self.last = TokenNorm(norm if pre else "none", width)
        self.answers = nn.Linear(width, tokens)

    def forward(self, x: Tensor) -> Tensor:
        real = x > 0
        h = self.tokens(x) + self.places[: x.shape[1]]
        for layer in self.layers:
            h = layer(h, real)
        return self.answers(self.last(h, real))
