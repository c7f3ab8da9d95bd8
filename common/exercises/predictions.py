"""Numbers to predict, and what the famous wrong answers give away."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from common.exercises.errors import hint_for
from common.exercises.learner import Learner, is_stub, judge
from common.exercises.verdict import Verdict, Wrong

PARAMETERS = "count gamma and beta: how many values has each of them?"


@dataclass(frozen=True)
class Number:
    """One number to predict, and what the famous wrong answers give away.

    A whole number must be met exactly, another to about 1 %. otherwise: the hint for a wrong
    answer that is not famous.
    """

    what: str
    right: float
    wrong: dict[float, str] = field(default_factory=dict)
    otherwise: str = "write down the set S first: which values does it hold, and how many?"

    def is_met_by(self, value: float) -> bool:
        """Whether a value is right."""
        return value == self.right if isinstance(self.right, int) else close(value, self.right)

    def hint(self, value: float) -> str:
        """Why a value is wrong."""
        exact = isinstance(self.right, int)
        for wrong, hint in self.wrong.items():
            if value == wrong if exact else close(value, wrong):
                return hint
        if self.right and self.is_met_by(-value):
            return "the sign is wrong."
        if not math.isclose(value, self.right, rel_tol=0.1):
            return self.otherwise
        if exact:
            return "close, but a count is exact: write it as a product, without rounding."
        decimals = len(f"{value:g}".partition(".")[2])
        if abs(value - self.right) < 10**-decimals:
            return "close, but not precise enough: give at least two decimals."
        return self.otherwise


def examine_numbers(prediction: Callable, asked: Sequence[Number]) -> Verdict:
    """Compare predicted numbers with the right ones, in whatever form they come."""

    def trials(learner: Learner) -> None:
        given = learner()
        if given is None:
            if is_stub(learner.answer):
                raise NotImplementedError
            raise Wrong("Your function returns nothing.", "is the return line missing?")
        values = list(_flat(given))
        if len(values) != len(asked):
            got = f"{len(values)} number{'s' if len(values) != 1 else ''}"
            hint = f"return {', '.join(number.what for number in asked)}."
            if len(values) == 1 and isinstance(values[0], str):
                hint = f"numbers, not a text in quotes. So {hint}"
            elif len(values) > len(asked) and all(isinstance(v, int) for v in values):
                hint = f"a comma parts two numbers: 0.4 with a point, not 0,4. So {hint}"
            raise Wrong(
                f"{len(asked)} numbers are asked for, and your function returns {got}.", hint
            )
        numbers = [_number(v, k, a) for k, (v, a) in enumerate(zip(values, asked, strict=True), 1)]
        met = [number.is_met_by(value) for value, number in zip(numbers, asked, strict=True)]
        if all(met):
            return
        _refuse(numbers, asked, met.index(False))

    def hint(error: Exception, line: str) -> str:
        return hint_for(error, line, "batch", "call my_prediction() in a new cell")

    return judge(prediction, trials, "Right: every number is what PyTorch gives.", hint)


def _refuse(numbers: list[float], asked: Sequence[Number], wrong: int) -> None:
    """Raise Wrong for the first number that is wrong."""
    value, number = numbers[wrong], asked[wrong]
    exact = isinstance(number.right, int)
    shown = str(int(value)) if value == int(value) else f"{value:{'.10g' if exact else '.4g'}}"
    hint = number.hint(value)
    left = list(numbers)
    for one in asked:
        found = next((v for v in left if one.is_met_by(v)), None)
        if found is not None:
            left.remove(found)
    if not left:
        hint = f"the numbers are right, their order is not: {', '.join(n.what for n in asked)}."
    raise Wrong(
        f"Number {wrong + 1}, {number.what}, is not {shown}.",
        hint,
    )


def _flat(given: Any) -> Any:
    """The values of any nest of tuples, lists, dicts, arrays and tensors, in order."""
    if hasattr(given, "tolist"):
        given = given.tolist()
    if isinstance(given, dict):
        given = given.values()
    elif isinstance(given, (str, bytes, Set)) or not isinstance(given, Iterable):
        yield given  # a set has no order
        return
    for item in given:
        yield from _flat(item)


def _number(value: Any, place: int, number: Number) -> float:
    """A value as a number; people write "2,048" and "−1.34", too."""
    original = value
    if isinstance(value, str):
        value = value.strip().replace("−", "-").replace(" ", "").replace("_", "")
        if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", value):
            value = value.replace(",", "")
        elif "." not in value:
            value = value.replace(",", ".")
    try:
        value = float(value)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise Wrong(f"Number {place}, {number.what}, is {original!r}.", "give a number.")
    return value


def close(value: float, other: float) -> bool:
    """Whether two numbers agree to about 1 %."""
    return math.isclose(value, other, rel_tol=0.01, abs_tol=0.005)
