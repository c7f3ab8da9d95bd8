"""What a study is: declared as data, rule and all, before anything is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

Condition = Mapping[str, Any]  # what is varied, such as {"norm": "batch", "gain": 0.3}
Values = dict[str, Any]  # what a run measured: numbers, or a list of them (one a layer or epoch)
Reduce = Callable[[Sequence[tuple[Condition, Any]]], float]


def grid(**quantities: Sequence[Any]) -> tuple[Condition, ...]:
    """Every combination of the values given, the last quantity changing fastest."""
    return tuple(
        dict(zip(quantities, values, strict=True)) for values in product(*quantities.values())
    )


def label(condition: Condition) -> str:
    """A condition as it is written in files and commands: ``batch/gain=0.3``."""
    parts = [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
             for name, value in condition.items() if name != "norm"]  # fmt: skip
    return "/".join([str(condition["norm"]), *parts] if "norm" in condition else parts)


def mean_of(found: Sequence[tuple[Condition, float]]) -> float:
    """The mean over all conditions a cell covers."""
    return fmean(value for _, value in found)


def fall_of(found: Sequence[tuple[Condition, float]]) -> float:
    """From the highest to the lowest of all conditions a cell covers."""
    values = [value for _, value in found]
    return max(values) - min(values)


def decades_of(found: Sequence[tuple[Condition, float | list[float]]]) -> float:
    """From the smallest to the largest of all values, or lists of them, that a cell covers."""
    values = [x for _, value in found for x in (value if isinstance(value, list) else [value])]
    return math.log10(max(values) / min(values))


@dataclass(frozen=True)
class Cell:
    """One number a seed, taken from a study's runs.

    Attributes:
        where: which conditions: a value, or a tuple of values, for each quantity that is fixed.
        value: the name of the measured value.
        minus: the same value under other conditions is taken away, seed by seed: what changes
            from there to here. It completes ``where``, and may override it.
        reduce: makes one number of those of several conditions (default: their mean).
        every: whether all values of the tuned quantity count, and not the best one alone.
    """

    where: Condition
    value: str = "test"
    minus: Condition | None = None
    reduce: Reduce = mean_of
    every: bool = False


@dataclass(frozen=True)
class Contrast:
    """A claim as a difference of two means, and what it takes to hold.

    The effect is ``first`` − ``second``, in the direction claimed: above ``smallest`` the claim
    holds, below it does not. Without ``second`` the effect is ``first`` itself.

    Attributes:
        claim: the key of a claim in ``claims.py``.
        words: the effect in words, "BatchNorm minus no norm, mean over all gains".
        smallest: the smallest effect that matters.
        unit: of the effect.
    """

    claim: str
    words: str
    first: Cell
    second: Cell | None = None
    smallest: float = 0.5
    unit: str = "points"


@dataclass(frozen=True)
class Plot:
    """A figure of a study: which value over which quantity, a line a norm or other quantity.

    Attributes:
        value: the measured value; where it is a list, ``x`` counts its entries.
        title: what is shown; the optimiser is part of it.
        x: the quantity along the axis (``norm`` too), or what is counted.
        lines: the quantity that tells the lines apart.
        panels: the quantity that tells the panels apart, "" for one panel.
        where: conditions shown.
        first: where counting starts, if ``value`` is a list.
        scales: of x (``linear``, ``log``, ``even``) and y (``linear``, ``log``).
    """

    value: str
    title: str
    x: str
    xlabel: str
    ylabel: str
    lines: str = "norm"
    panels: str = ""
    where: Condition = field(default_factory=dict)
    first: int = 1
    scales: tuple[str, str] = ("even", "linear")


@dataclass(frozen=True)
class Study:
    """One study of the laboratory.

    Attributes:
        name: of the command and the result file.
        question: one line for lists and tables.
        setting: network, images, recipe in words, by name: printed and kept with the results.
        conditions: what is run, in this order, all of them with one seed before the next.
        measure: one run: a condition, a seed, the images and the device in, measured values out.
        contrasts: the rule: what decides about each claim.
        plots: the figures.
        seeds: of the runs.
        repeats: what the seeds stand for, where they are not seeds of a training.
        seconds: rough cost of a run of this condition, of one thread.
        quick: for quick mode, the values that remain of each quantity.
        tuned: a quantity, such as the learning rate, that is not compared: for each of the other
            conditions its best value is taken, by the mean accuracy on held-out training images.
        dataset: what figures say it was made on, instead of the images' title.
        repeatable: whether a run done again must give the same numbers (times do not).
        shipped: whether a run of this condition looks at what comes with the course, which was
            made on CIFAR-10: other images, or seeds that the study does not declare, have none.
    """

    name: str
    question: str
    setting: Mapping[str, Any]
    conditions: tuple[Condition, ...]
    measure: Callable[..., Values]
    contrasts: tuple[Contrast, ...] = ()
    plots: tuple[Plot, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    repeats: str = "seeds"
    seconds: Callable[[Condition], float] = lambda _: 1.0
    quick: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    tuned: str = ""
    dataset: str = ""
    repeatable: bool = True
    shipped: Callable[[Condition], bool] = lambda _: False

    def shortened(self) -> Study:
        """The study in quick mode: some of its conditions, two seeds."""
        some = tuple(
            condition
            for condition in self.conditions
            if all(condition[name] in values for name, values in self.quick.items())
        )
        return replace(self, conditions=some, seeds=self.seeds[:2])

    def runs(self) -> list[tuple[Condition, int]]:
        """Every condition with every seed, seed by seed."""
        return [(condition, seed) for seed in self.seeds for condition in self.conditions]

    def condition(self, name: str) -> Condition:
        """The condition of this label. Raises ``ValueError`` if there is none."""
        known = {label(condition): condition for condition in self.conditions}
        if name not in known:
            raise ValueError(
                f"The study {self.name!r} has no condition {name!r}; it has {', '.join(known)}."
            )
        return known[name]


def matches(condition: Condition, where: Condition) -> bool:
    """Whether a condition has the values asked for; a tuple allows any of its values."""
    return all(
        condition.get(name) in value if isinstance(value, tuple) else condition.get(name) == value
        for name, value in where.items()
    )
