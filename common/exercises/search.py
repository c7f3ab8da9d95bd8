"""The search for the known mistake, or the two together, that give the learner's result.

Nearly all are looked for on the ordinary input. There each way is computed once, and some of its
values are kept: most ways differ from a result in these, and only the others are compared in full.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from common.exercises.inputs import Inputs, sample
from common.exercises.tasks import Results, Task

_KEPT = 12  # values of each result
Known = tuple[Any, str]  # a way, and the hint of what is wrong with it


def explain(
    task: Task, i: Inputs, got: Results, matches: Callable[[Any], bool], part: slice = slice(None)
) -> str:
    """The hint of the mistake, or the two mistakes, that give the learner's result; else "".

    matches: whether a way gives it. part: which of the results are to be explained.
    """
    usual = sample(task.layout)
    is_usual = all(torch.equal(usual.tensors[name], t) for name, t in i.tensors.items())
    for pairs in (False, True):
        if is_usual and (usual.eps, usual.groups) == (i.eps, i.groups):
            # A layer's class shares the table of the function it computes.
            kind = next(kind for kind in type(task).__mro__ if "mistakes" in vars(kind))
            likely = _table(kind, task.layout, pairs).near(got, part)
        else:
            likely = _known(task, pairs)
        for way, hint in likely:
            if matches(way):
                return hint
    return ""


def _known(task: Task, pairs: bool) -> Iterator[Known]:
    """The ways with one mistake, or with two that may come together."""
    listed = task.mistakes()
    if not pairs:
        for change, hint in (*listed, *task.rare_mistakes()):
            yield replace(task.right_way, **change), hint
        return
    for (change, hint), (other, another) in itertools.combinations(listed, 2):
        if not set(change) & set(other):
            way = replace(task.right_way, **change, **other)
            yield way, f"two things at once: {hint} And {another}"


@dataclass(frozen=True)
class _Table:
    """What known ways give on the ordinary input: the shapes, and of the values a few."""

    known: list[Known]
    shapes: list[list[torch.Size]]
    values: torch.Tensor  # known ways × results × _KEPT

    def near(self, got: Results, part: slice) -> Iterator[Known]:
        """The ways that a result agrees with as far as the table goes."""
        shapes = _shapes(got)[part]
        # Wider than the comparison in full: here too many do no harm.
        close = torch.isclose(
            self.values[:, part], some_values(got)[part], rtol=2e-3, atol=2e-4, equal_nan=True
        )
        for k in close.flatten(1).all(1).nonzero()[:, 0].tolist():
            if self.shapes[k][part] == shapes:
                yield self.known[k]


@functools.cache
def _table(kind: type[Task], layout: str, pairs: bool) -> _Table:
    task, i = kind(layout), sample(layout)
    known = list(_known(task, pairs))
    with torch.no_grad():
        results = [task.by(way, i) for way, _ in known]
    return _Table(
        known, [_shapes(r) for r in results], torch.stack([some_values(r) for r in results])
    )


def _shapes(results: Sequence[torch.Tensor]) -> list[torch.Size]:
    return [result.shape for result in results]


def some_values(results: Sequence[torch.Tensor]) -> torch.Tensor:
    """A few values of each result, from all over it."""
    rows = []
    for result in results:
        flat = result.detach().flatten().float()
        at = torch.linspace(0, max(flat.numel() - 1, 0), _KEPT).long()
        rows.append(flat[at] if flat.numel() else flat.new_zeros(_KEPT))
    return torch.stack(rows)
