"""Ways to compute statistics and to normalise, right and wrong ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from common.exercises.inputs import Inputs

CUT_LETTERS = ("N", "G", "C/G", "H", "W")
Axes = tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """One way to compute statistics and normalise. The defaults, with the right axes, are right."""

    axes: Axes
    cut: str = "no"  # or see `_cut`
    mean_axes: Axes = ()  # where they are others than the variance's
    variance_axes: Axes = ()
    centre_axes: Axes = ()  # of the mean that the squared distances are taken from
    parts: Axes = ()  # the axes of the parts of S, see `_variance`
    divided_by: Axes = ()  # the axes whose lengths the sums are divided by, if not those of S
    taken: tuple[int, slice] | None = None  # an axis, and the part of it that alone counts
    average: str = "mean"  # or "sum", "sum of squares", "both" for both sums divided so, or of the
    # mean alone "of |x|", "median"; or "twice", of the squares, which are divided once more
    variance: str = "centred"  # or see `_variance`
    correction: int = 0
    eps: str = (
        "inside"  # or "outside", "missing", "fixed at 1e-5", "twice", "double", "after", "last",
        # "at least" where max(variance, eps) stands for the sum, "root at least" outside the root,
        # "above" the fraction bar, "minus", "root" where its root is added outside, "factor" for
        # variance · (1 + eps), "of the sum" before it is divided, "of the inverse" root, "in x"
    )
    # or "swapped", "first set" if its statistics serve all, "fresh": 0 and 1, "repeated" if those
    # of a group reach every G-th channel, or "mean repeated", "variance repeated"; "axis by axis"
    order: str = "right"
    centre: str = "minus"  # or "no", "plus", "flipped", "without brackets", "least"
    # or "variance", "half" of it, "twice", "square", or "root twice", "no", "times", "range",
    # "largest", "root over |S|", "root times root |S|"
    divide: str = "root"
    affine: str = "right"  # or see `_scaled`, "first", "scale first", "norm twice", other brackets
    constant: tuple[str, ...] = ()  # which of "mean" and "variance" carry no gradient

    def statistics(self, x: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of x, with length 1 along the reduced axes of the cut tensor."""
        if self.cut.startswith("chunk"):
            inside = replace(self, axes=(1, 2, 3), cut="no")
            parts = [inside.statistics(part, groups) for part in self._chunks(x, groups)]
            return tuple(torch.stack(part, 1) for part in zip(*parts, strict=True))
        values = cut_channels(self.cut, x, groups)
        if self.taken:
            axis, part = self.taken
            values = values[(slice(None),) * axis + (part,)]
        mean = values.mean(self.mean_axes or self.axes, keepdim=True)
        variance = self._variance(values)
        if self.average == "sum":
            mean = mean * (values.numel() // mean.numel())
        if self.average == "both":
            mean = values.sum(self.axes, keepdim=True) / lengths(values, self.divided_by)
        if self.average == "of |x|":
            mean = values.abs().mean(self.axes, keepdim=True)
        if self.average == "median":
            mean = _medians(values, self.axes).reshape(mean.shape)
        if "mean" in self.constant:
            mean = mean.detach()
        if "variance" in self.constant:
            variance = variance.detach()
        if self.order == "fresh":
            mean, variance = torch.zeros_like(mean), torch.ones_like(variance)
        if self.order == "first set":
            mean, variance = (t.flatten()[0].expand_as(t) for t in (mean, variance))
        if self.order in ("repeated", "mean repeated"):
            mean = _repeated(mean, values)
        if self.order in ("repeated", "variance repeated"):
            variance = _repeated(variance, values)
        return (variance, mean) if self.order == "swapped" else (mean, variance)

    def _variance(self, values: torch.Tensor) -> torch.Tensor:
        axes = self.variance_axes or self.axes
        if self.parts:
            others = tuple(axis for axis in axes if axis not in self.parts)
            if self.variance == "of parts":
                parts = values.var(self.parts, correction=self.correction, keepdim=True)
                return parts.mean(others, keepdim=True)
            if self.variance == "of variances":
                parts = values.var(self.parts, correction=self.correction, keepdim=True)
                return parts.var(others, correction=self.correction, keepdim=True)
            parts = values.mean(self.parts, keepdim=True)
            return parts.var(others, correction=self.correction, keepdim=True)
        if self.variance in ("in turn", "in turn, last first"):
            for axis in axes if self.variance == "in turn" else axes[::-1]:
                values = values.var(axis, correction=self.correction, keepdim=True)
            return values
        mean = values.mean(self.centre_axes or axes, keepdim=True)
        count = lengths(values, self.divided_by or axes)
        if self.variance == "around the wrong mean":
            mean = values.sum(axes, keepdim=True) / count
        if self.variance == "around repeated":
            mean = _repeated(mean, values)
        deviation = values - (0 if self.variance in ("uncentred", "mean of |x|") else mean)
        absolute = self.variance in ("absolute", "mean of |x|")
        squares = deviation.abs() if absolute else deviation.square()
        if self.variance == "square of the mean":
            return mean.square()
        variance = squares.sum(axes, keepdim=True) / (count - self.correction)
        variance = variance * {"half": 0.5, "double": 2.0}.get(self.variance, 1.0)
        if self.variance == "not squared":
            variance = torch.zeros_like(variance)
        if self.variance == "root":
            variance = variance.sqrt()
        if self.variance == "squared too late":
            variance = deviation.abs().mean(axes, keepdim=True).square()
        if self.average in ("sum", "sum of squares"):
            variance = variance * count
        if self.average == "twice":
            variance = variance / count
        if self.variance == "less the mean squared":
            variance = variance - mean.square()
        return variance

    def normalised(self, i: Inputs) -> torch.Tensor:
        """The normalised, scaled and shifted input, of x's shape."""
        if self.affine == "first":
            gamma, beta = i.per_value(i.gamma), i.per_value(i.beta)
            return replace(self, affine="missing").normalised(replace(i, x=gamma * i.x + beta))
        if self.affine == "scale first":
            scaled = replace(i, x=i.per_value(i.gamma) * i.x)
            return replace(self, affine="no scale").normalised(scaled)
        if self.order == "axis by axis":
            for axis in self.axes:
                one = replace(self, axes=(axis,), order="right", affine="missing")
                i = replace(i, x=one.normalised(i))
            return _scaled(self.affine, i.x, i)
        if self.affine == "norm twice":
            once = replace(self, affine="right")
            return once.normalised(replace(i, x=once.normalised(i)))
        if self.affine == "in the fraction":
            inverse = replace(self, centre="spread")._standardised(i.x, i)
            scaled = i.per_value(i.gamma) * self._standardised(i.x, i)
            return scaled + i.per_value(i.beta) * inverse
        if self.affine in ("of x alone", "beta centred"):
            gamma, beta = i.per_value(i.gamma), i.per_value(i.beta)
            inverse = replace(self, centre="spread")._standardised(i.x, i)
            y = self._standardised(i.x, i)
            if self.affine == "of x alone":
                return y + (gamma - 1) * i.x * inverse + beta
            return gamma * (y + beta * inverse)
        if self.affine == "without brackets":
            rest = replace(self, centre="without brackets")._standardised(i.x, i) - i.x
            return i.per_value(i.gamma) * i.x + rest + i.per_value(i.beta)
        y = _scaled(self.affine, self._standardised(i.x, i), i)
        return y + i.eps if self.eps == "last" else y

    def _standardised(self, x: torch.Tensor, i: Inputs) -> torch.Tensor:
        if self.cut.startswith("chunk"):
            inside = replace(self, axes=(1, 2, 3), cut="no")
            parts = [inside._standardised(part, i) for part in self._chunks(x, i.groups)]
            return torch.cat(parts, int(self.cut[-1]))
        mean, variance = self.statistics(x + i.eps if self.eps == "in x" else x, i.groups)
        values = cut_channels(self.cut, x, i.groups)
        spread = self._spread(variance, i.eps, lengths(values, self.axes))
        if self.divide == "range":
            spread = values.amax(self.axes, True) - values.amin(self.axes, True) + i.eps
        if self.divide == "largest":
            spread = values.abs().amax(self.axes, True) + i.eps
        if self.centre == "without brackets":
            result = values - mean / spread
        else:
            centred = {
                "minus": values - mean,
                "no": values,
                "plus": values + mean,
                "flipped": mean - values,
                "least": values - values.amin(self.axes, True),
                "spread": torch.ones_like(values),  # leaves its inverse
            }[self.centre]
            if self.eps == "above":
                centred = centred + i.eps
            result = centred * spread if self.divide == "times" else centred / spread
        if self.eps == "after":
            result = result + i.eps
        return _join(self.cut, result, x.shape)

    def _spread(self, variance: torch.Tensor, eps: float, count: int) -> torch.Tensor:
        if self.divide == "no":
            return torch.ones_like(variance)
        inside = {"inside": eps, "twice": eps, "double": 2 * eps, "squared": eps**2, "minus": -eps}
        inside |= {"of the sum": eps / count, "factor": eps * variance}
        fixed = self.eps.removeprefix("fixed at ")
        spread = variance + (float(fixed) if fixed != self.eps else inside.get(self.eps, 0.0))
        if self.eps == "at least":
            spread = spread.clamp(min=eps)
        powers = {"variance": spread, "half": spread / 2, "twice": 2 * spread, "square": spread**2}
        spread = powers[self.divide] if self.divide in powers else spread.sqrt()
        if self.divide == "root twice":
            spread = spread.sqrt()
        spread = spread * {"root over |S|": 1 / count, "root times root |S|": count**0.5}.get(
            self.divide, 1.0
        )
        if self.eps == "of the inverse":
            spread = 1 / (1 / spread + eps)
        if self.eps == "root at least":
            spread = spread.clamp(min=eps)
        if self.eps == "root":
            spread = spread + math.sqrt(eps)
        return spread + eps if self.eps in ("outside", "twice") else spread

    def _chunks(self, x: torch.Tensor, groups: int) -> Sequence[torch.Tensor]:
        return x.chunk(groups, int(self.cut[-1]))

    def words(self, letters: Sequence[str]) -> str:
        """The axes of S in words; letters are those of x."""
        if self.cut in ("neighbours", "interleaved"):
            letters = CUT_LETTERS
        words = listed([letters[axis] for axis in self.axes])
        cut = {"neighbours": " of neighbouring channels", "interleaved": " of every G-th channel"}
        return words + cut.get(self.cut, "")


def listed(names: Sequence[str]) -> str:
    """Names as in "N, H and W"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else names[0]


def _medians(values: torch.Tensor, axes: Axes) -> torch.Tensor:
    """The median of each set, in the order of the axes that are left."""
    left = [axis for axis in range(values.dim()) if axis not in axes]
    return values.permute(*left, *axes).flatten(len(left)).median(-1)[0]


def _repeated(statistic: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The statistics of the groups as .repeat() hands them to the channels, every G-th the same."""
    places = torch.arange(values.shape[1] * values.shape[2]) % values.shape[1]
    places = places.reshape(values.shape[1:3])
    return statistic.flatten(1)[:, places][..., None, None]


def lengths(values: torch.Tensor, axes: Axes) -> int:
    """The product of the lengths of some axes."""
    return math.prod(values.shape[axis] for axis in axes)


def cut_channels(cut: str, x: torch.Tensor, groups: int) -> torch.Tensor:
    """x with its channels cut into groups, or with its axes mixed up."""
    if cut == "no":
        return x
    if cut == "rows":  # as if memory began with the channels
        return x.reshape(x.shape[1], -1)
    if cut == "images last":  # as if memory ended with the images
        return x.reshape(-1, len(x))
    if cut in ("columns", "rows of C"):  # as if memory ended with them
        return x.reshape(-1, x.shape[1])
    if cut == "moved to the front":
        return x.transpose(0, 1).reshape(x.shape[1], -1)
    if cut == "moved to the end":
        return x.movedim(1, -1).reshape(-1, x.shape[1])
    if cut == "groups last":
        return x.reshape(len(x), -1, groups)
    if cut == "parts of the batch":
        return x.reshape(groups, -1)
    if cut == "moved to the front in parts":
        return x.transpose(0, 1).reshape(groups, -1)
    if cut == "channels last":
        return x.permute(0, 2, 3, 1).reshape(len(x), groups, -1)
    if cut == "height first":
        return x.transpose(1, 2).reshape(len(x), groups, -1)
    n, c, h, w = x.shape
    if cut == "overlapping":  # statistics alone: it cannot be joined again
        return torch.stack([x[:, g : g + c // groups] for g in range(groups)], 1)
    if cut.startswith("interleaved"):
        return x.reshape(n, c // groups, groups, h, w).transpose(1, 2)
    if cut == "batch first":
        return x.reshape(groups, n, c // groups, h, w).transpose(0, 1)
    if cut == "of size G":
        return x.reshape(n, c // groups, groups, h, w)
    return x.reshape(n, groups, c // groups, h, w)


def _join(cut: str, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    if cut == "interleaved":
        values = values.transpose(1, 2)
    if cut == "batch first":
        values = values.transpose(0, 1)
    if cut == "channels last":
        n, c, h, w = shape
        return values.reshape(n, h, w, c).permute(0, 3, 1, 2)
    return values.reshape(shape)


def _scaled(how: str, y: torch.Tensor, i: Inputs) -> torch.Tensor:
    """Scale by gamma and shift by beta, in one of several ways."""
    gamma, beta = i.per_value(i.gamma), i.per_value(i.beta)
    if how == "one number":
        gamma, beta = gamma.flatten()[0], beta.flatten()[0]
    elif how == "average":
        gamma, beta = gamma.mean(), beta.mean()
    elif how == "average gamma":
        gamma = gamma.mean()
    elif how == "per group" and i.gamma.dim() == 1:
        size = len(i.gamma) // i.groups
        first = torch.arange(len(i.gamma)) // size * size
        gamma, beta = i.per_value(i.gamma[first]), i.per_value(i.beta[first])
    elif how == "per place" and i.gamma.dim() == 1:
        place = torch.arange(len(i.gamma)) % (len(i.gamma) // i.groups)
        gamma, beta = i.per_value(i.gamma[place]), i.per_value(i.beta[place])
    elif how == "repeated":
        gamma, beta = (
            t.flatten().repeat(y[0].numel() // t.numel()).reshape(y.shape[1:])
            for t in (gamma, beta)
        )
    elif how == "gamma twice":
        beta = gamma
    elif how == "beta twice":
        gamma = beta
    elif how == "swapped":
        gamma, beta = beta, gamma
    if how == "along the last axis":
        rows = y.reshape(-1, gamma.numel())
        return (gamma.flatten() * rows + beta.flatten()).reshape(y.shape)
    return {
        "missing": lambda: y,
        "no shift": lambda: gamma * y,
        "no scale": lambda: y + beta,
        "shift first": lambda: gamma * (y + beta),
        "minus": lambda: gamma * y - beta,
        "divided": lambda: y / gamma + beta,
        "plus": lambda: gamma + y + beta,
        "one plus": lambda: (1 + gamma) * y + beta,
        "absolute": lambda: gamma.abs() * y + beta,
        "not negative": lambda: gamma.clamp(min=0) * y + beta,
    }.get(how, lambda: gamma * y + beta)()


RIGHT_WAY = {
    "batch": Way((0, 2, 3)),
    "group": Way((2, 3, 4), cut="neighbours"),
    "image": Way((1, 2, 3)),
    "channels": Way((1,)),
    "tokens": Way((2,)),
}
