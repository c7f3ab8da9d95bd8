"""Means with their spread, and the test that tells two norms apart or does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple


class Summary(NamedTuple):
    """Mean, standard deviation, number of runs and the 95 % interval of the mean."""

    mean: float
    deviation: float
    runs: int
    low: float
    high: float

    def __str__(self) -> str:
        if self.runs == 1:
            return f"{self.mean:.2f} (n = 1)"
        return f"{self.mean:.2f} ± {self.deviation:.2f} (n = {self.runs})"


class Difference(NamedTuple):
    """Difference of two means, its 95 % interval and Welch's two-sided p-value."""

    mean: float
    low: float
    high: float
    p_value: float


def summarise(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and Student's 95 % interval of ``values``.

    One value has no spread: its deviation and interval are not a number.
    Raises ``ValueError`` if there is no value at all.
    """
    if not values:
        raise ValueError("There is nothing to summarise: the list of values is empty.")
    mean, runs = fmean(values), len(values)
    if runs == 1:
        return Summary(mean, math.nan, 1, math.nan, math.nan)
    from scipy import stats

    deviation = stdev(values)
    half = stats.t.ppf(0.975, runs - 1) * deviation / math.sqrt(runs)
    return Summary(mean, deviation, runs, mean - half, mean + half)


def compare_means(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Welch's test (1947) of ``first`` against ``second``, which may differ in spread.

    Raises ``ValueError`` unless both have two values or more.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"Welch's test needs two runs or more on each side, not {len(first)} and "
            f"{len(second)}; train more seeds."
        )
    from scipy import stats

    result = stats.ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval(0.95)
    return Difference(
        fmean(first) - fmean(second),
        float(interval.low),
        float(interval.high),
        float(result.pvalue),
    )
