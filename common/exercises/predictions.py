"""Numbers to predict, and what the famous wrong answers give away."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from common.exercises.verdict import Verdict, Wrong, verdict_of


@dataclass(frozen=True)
class Number:
    """One number to predict, and what the famous wrong answers give away."""

    what: str
    right: float
    wrong: dict[float, str] = field(default_factory=dict)


def examine_numbers(prediction: Callable, asked: Sequence[Number]) -> Verdict:
    """Compare predicted numbers with the right ones, to about 1 %."""

    def trials() -> None:
        given = prediction()
        if given is None:
            raise Wrong("Your function returns nothing.", "is the return line missing?")
        if isinstance(given, torch.Tensor):
            given = given.tolist()
        given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if len(given) != len(asked):
            raise Wrong(
                f"{len(asked)} numbers are asked for, and your function returns {len(given)}.",
                f"return {', '.join(number.what for number in asked)}.",
            )
        for place, (value, number) in enumerate(zip(given, asked, strict=True), start=1):
            try:
                value = float(value)
            except (TypeError, ValueError):
                raise Wrong(
                    f"Number {place}, {number.what}, is {value!r}.", "give a number."
                ) from None
            if _close(value, number.right):
                continue
            hint = next((h for wrong, h in number.wrong.items() if _close(value, wrong)), "")
            raise Wrong(
                f"Number {place}, {number.what}, is not {value:g}.",
                hint or "write down the set S first: which values does it hold, and how many?",
            )

    return verdict_of(prediction, trials, "Right: every number is what PyTorch gives.")


def _close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=0.01, abs_tol=0.005)
