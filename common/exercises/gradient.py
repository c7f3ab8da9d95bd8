"""The backward pass of batch norm by hand: through the mean and the variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

from common.exercises.inputs import Inputs, alike, as_tensors, sample
from common.exercises.mistakes import Mistake
from common.exercises.tasks import Results, Task
from common.exercises.traces import factor
from common.exercises.verdict import Wrong


@dataclass(frozen=True)
class Backward:
    """One way to go back through batch norm; the defaults are right.

    With g = gamma · grad_y and means over S: (g − mean(g) − x̂ · mean(g · x̂)) / sqrt(var + eps).
    """

    axes: tuple[int, ...] = (0, 2, 3)
    mean_path: float = 1.0  # the factor of mean(g)
    variance_path: float = 1.0  # the factor of x̂ · mean(g · x̂)
    # or "missing", "outside" (on the first path only), "divided", "squared", or missing on one
    # path: "not first", "not mean", "not variance"
    gamma: str = "right"
    first: str = "right"  # g itself; or "missing", "averaged"
    size_in: str = ""  # the path that is multiplied by |S| or, with "/ ", divided once more
    paths_over: tuple[int, ...] = ()  # the axes of both means, if not those of S
    not_averaged: bool = False  # g · x̂ in the place of its mean
    average: str = "mean"  # or "sum", "unbiased", "N", "H · W": divided by these lengths
    # or "variance", "variance without eps", "root without eps", "root and variance", "no", "times",
    # "first alone", "last alone"
    divide: str = "root"
    eps: str = "inside"  # or "outside", "missing", "fixed"
    correction: int = 0
    # x̂ in the last term; or "centred", "x", "inner only", "outer only", "none", "not centred", and
    # that in one place: "inner not centred", "outer not centred", "inner x", "outer x"; or "y",
    # without beta; or "both inside" the mean
    standardised: str = "right"

    def gradient(self, i: Inputs) -> torch.Tensor:
        """The gradient of x, of shape (N, C, H, W)."""
        variance, mean = torch.var_mean(i.x, self.axes, correction=self.correction, keepdim=True)
        inside = {"inside": i.eps, "fixed": 1e-5}.get(self.eps, 0.0)
        root = (variance + inside).sqrt() + (i.eps if self.eps == "outside" else 0.0)
        gamma = i.per_value(i.gamma)
        scale = {"missing": 1.0, "divided": 1 / gamma, "squared": gamma**2}.get(self.gamma, gamma)
        g = scale * i.grad
        on_paths = i.grad if self.gamma == "outside" else g
        on_mean = i.grad if self.gamma == "not mean" else on_paths
        on_variance = i.grad if self.gamma == "not variance" else on_paths
        x_hat = (i.x if self.standardised == "not centred" else i.x - mean) / root
        inner = {"centred": i.x - mean, "x": i.x, "y": gamma * x_hat}.get(self.standardised, x_hat)
        outer = i.x - mean if self.standardised == "inner only" else inner
        if self.standardised == "inner not centred":
            inner = i.x / root
        if self.standardised == "outer not centred":
            outer = i.x / root
        if self.standardised == "outer x":
            outer = i.x
        second = outer * self._mean(on_variance * inner)
        if self.standardised == "outer only":
            second = x_hat * self._mean(on_paths)
        if self.not_averaged:
            second = outer * on_variance * inner
        if self.standardised == "inner x":
            second = x_hat * self._mean(on_variance * i.x)
        if self.standardised == "both inside":
            second = self._mean(on_variance * inner * outer)
        if self.standardised == "none":
            second = self._mean(on_paths * x_hat)
        size = i.x.numel() // mean.numel()
        times = {"": (1, 1), "mean": (size, 1), "variance": (1, size)}
        times |= {"/ mean": (1 / size, 1), "/ variance": (1, 1 / size)}
        first = {"missing": 0 * g, "averaged": g / size}.get(self.first, g)
        if self.gamma == "not first":
            first = i.grad
        of_mean, of_variance = times[self.size_in]
        last = of_variance * self.variance_path * second
        paths = first - of_mean * self.mean_path * self._mean(on_mean) - last
        divisor = {
            "variance": root**2,
            "variance without eps": variance,
            "root without eps": variance.sqrt(),
            "root and variance": root**3,
            "no": torch.ones_like(root),
            "times": 1 / root,
        }
        if self.divide == "first alone":
            return first / root + paths - first
        if self.divide == "last alone":
            return paths + last - last / root
        return paths / divisor.get(self.divide, root)

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        total = values.sum(self.paths_over or self.axes, keepdim=True)
        size = values.numel() // total.numel()
        n, _, h, w = values.shape
        others = {"sum": 1, "unbiased": max(size - 1, 1), "N": n, "H · W": h * w}
        return total / others.get(self.average, size)


_PATHS = "A value of x moves y in three ways: by itself, through the mean and through the variance."
_MISTAKES: list[Mistake] = [
    (
        {"mean_path": 0.0, "variance_path": 0.0},
        f"mean and variance pass for constants. {_PATHS}",
    ),
    ({"mean_path": 0.0}, f"the path through the mean is missing, − mean(g). {_PATHS}"),
    (
        {"variance_path": 0.0},
        "the path through the variance is missing, − x̂ · mean(g · x̂). (Or is it there as a product "
        f"of two means, mean(g) · mean(x̂)? That is 0, as mean(x̂) is.) {_PATHS}",
    ),
    ({"mean_path": -1.0}, "the sign of the path through the mean is wrong: − mean(g)."),
    (
        {"variance_path": -1.0},
        "the sign of the path through the variance is wrong: − x̂ · mean(g · x̂).",
    ),
    (
        {"mean_path": -1.0, "variance_path": -1.0},
        "the signs of both paths are wrong: both are subtracted.",
    ),
    *(
        (
            {"variance_path": factor},
            "the path through the variance has the wrong factor: the 2 of the square and the ½ of "
            "the root cancel.",
        )
        for factor in (2.0, 0.5, 4.0)
    ),
    *(
        (
            {"variance_path": factor},
            "sign and factor of the path through the variance are wrong, − x̂ · mean(g · x̂). (Step "
            "by step: the derivative of 1 / sqrt(v) is − ½ · v to the power of −3/2.)",
        )
        for factor in (-2.0, -0.5)
    ),
    ({"gamma": "missing"}, "gamma is missing: y = gamma · x̂ + beta, so x̂ gets gamma · grad_y."),
    ({"gamma": "outside"}, "gamma is missing on the paths through mean and variance."),
    *(
        ({"gamma": f"not {path}"}, f"gamma is missing {where}: all three have g = gamma · grad_y.")
        for path, where in [
            ("first", "on the first path, g itself"),
            ("mean", "on the path through the mean"),
            ("variance", "on the path through the variance"),
        ]
    ),
    ({"first": "averaged"}, "g itself is divided by the size of S: only the two sums are."),
    ({"first": "missing"}, "g itself is missing: a value of x moves its own y, too."),
    *(
        (
            {"size_in": path},
            f"on the path through the {path} a sum stands where the mean belongs: divide by |S|.",
        )
        for path in ("mean", "variance")
    ),
    *(
        (
            {"size_in": f"/ {path}"},
            f"the path through the {path} is divided by |S| twice: once is enough.",
        )
        for path in ("mean", "variance")
    ),
    *(
        (
            {"standardised": f"{which} not centred"},
            "the path through the variance has x in one place where x − mean belongs: it is "
            "x̂ · mean(g · x̂), with x̂ twice.",
        )
        for which in ("inner", "outer")
    ),
    (
        {"not_averaged": True},
        "on the path through the variance g · x̂ is not averaged: − x̂ · mean(g · x̂), over S.",
    ),
    ({"gamma": "divided"}, "you divide by gamma: the gradient of x̂ is gamma · grad_y."),
    ({"gamma": "squared"}, "gamma counts twice: multiply once."),
    (
        {"average": "sum"},
        "sums stand where means belong: divide sum(g) and sum(g · x̂) by the size of S.",
    ),
    *(
        (
            {"average": lengths},
            f"sum(g) and sum(g · x̂) are divided by {lengths}: the size of S is N · H · W.",
        )
        for lengths in ("N", "H · W")
    ),
    ({"average": "unbiased"}, "you divide by |S| − 1: mean(g) and mean(g · x̂) divide by |S|."),
    ({"divide": "variance"}, "you divide by variance + eps: by its square root, once."),
    (
        {"divide": "variance without eps"},
        "you divide by the bare variance: by sqrt(variance + eps), as in the forward pass.",
    ),
    (
        {"divide": "root without eps"},
        "x̂ is right, but in the last division eps is missing: there, too, it is sqrt(variance + "
        "eps).",
    ),
    (
        {"divide": "root and variance"},
        "you divide by sqrt(variance + eps) three times (the power −3/2): once. The power belongs "
        "to the derivative of the root alone, and is part of x̂ · mean(g · x̂).",
    ),
    (
        {"divide": "first alone"},
        "g alone is divided by sqrt(variance + eps): all three paths are.",
    ),
    (
        {"divide": "last alone"},
        "only the last path is divided by sqrt(variance + eps): put brackets around all three.",
    ),
    ({"divide": "no"}, "the division by sqrt(variance + eps) is missing."),
    ({"divide": "times"}, "you multiply by sqrt(variance + eps): divide by it."),
    ({"eps": "outside"}, "eps stands outside the root. It belongs inside: sqrt(variance + eps)."),
    ({"eps": "missing"}, "eps is missing: it is sqrt(variance + eps), as in the forward pass."),
    ({"eps": "fixed"}, "eps is fixed at 1e-5: use the argument eps."),
    (
        {"correction": 1},
        "the variance is the unbiased one: the forward pass divides by |S|, correction=0.",
    ),
    (
        {"standardised": "centred"},
        "the path through the variance has x − mean where x̂ belongs: that is divided by "
        "sqrt(variance + eps), in both places (step by step: the derivative of 1 / sqrt(v) is "
        "− ½ · v to the power of −3/2).",
    ),
    (
        {"standardised": "inner only"},
        "x̂ is right in one place only: it is x̂ · mean(g · x̂), with x̂ twice.",
    ),
    (
        {"standardised": "inner x"},
        "inside the second mean stands x where x̂ belongs: − x̂ · mean(g · x̂).",
    ),
    (
        {"standardised": "outer x"},
        "in front of the second mean stands x where x̂ belongs: − x̂ · mean(g · x̂).",
    ),
    (
        {"standardised": "outer only"},
        "x̂ is missing inside the second mean: − x̂ · mean(g · x̂).",
    ),
    (
        {"standardised": "none"},
        "x̂ is missing in front of the second mean: − x̂ · mean(g · x̂).",
    ),
    (
        {"standardised": "both inside"},
        "one x̂ too many stands inside the second mean: it belongs in front, − x̂ · mean(g · x̂).",
    ),
    ({"standardised": "not centred"}, "in x̂ the mean is not subtracted: (x − mean) / sqrt(…)."),
    ({"standardised": "y"}, "the path through the variance has y where x̂ belongs."),
    ({"standardised": "x"}, "the path through the variance has x where x̂ belongs."),
]


@dataclass
class BatchNormGradient(Task):
    """f(x, grad_y, gamma, eps) -> the gradient of x."""

    arguments: tuple[str, ...] = ("x", "grad", "gamma", "eps")
    names: tuple[str, ...] = ("gradient of x",)
    success: str = "Right: the gradient of x is what PyTorch's backward pass computes."

    @property
    def right_way(self) -> Backward:
        """The way that gives the expected result; mistakes are changes of it."""
        return Backward()

    @property
    def sets(self) -> str:
        """The axes of S in words."""
        return "N, H and W"

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        with torch.enable_grad():
            x = i.x.detach().clone().requires_grad_()
            y = F.batch_norm(x, None, None, i.gamma, None, training=True, eps=i.eps)
        return torch.autograd.grad(y, x, i.grad)

    def by(self, way: Any, i: Inputs) -> Results:
        """The result of another way."""
        return (way.gradient(i),)

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        sets = {(1, 2, 3): "C, H and W", (2, 3): "H and W", (0,): "N", (1,): "C"}
        sets[(0, 1, 2, 3)] = "all four axes"
        wrong_axes = [
            ({"axes": axes}, f"wrong axes: you average over {words}; S runs over N, H and W.")
            for axes, words in sets.items()
        ]
        wrong_axes += [
            (
                {"paths_over": axes},
                f"mean(g) and mean(g · x̂) are taken over {words}: S runs over N, H and W.",
            )
            for axes, words in sets.items()
        ]
        return [*_MISTAKES, *wrong_axes]

    def special(self, i: Inputs, got: Results) -> str:
        """The hint for the gradient of something else; else ""."""
        right = self.expected(i)[0]
        if alike(got, (-right,)):
            return "the sign is wrong: all of it is negative."
        if alike(got, (torch.zeros_like(right),)):
            return (
                "0 everywhere: the sum of y does not depend on x. The gradient asked for is that "
                "of the sum of grad_y · y, as in y.backward(grad_y)."
            )
        gamma = i.per_value(i.gamma)
        if alike(got, (gamma * i.grad,)):
            return "that is the gradient of x̂: go on through the norm to x."
        y = F.batch_norm(i.x, None, None, i.gamma, None, training=True, eps=i.eps)
        if any(alike(got, (one,)) for one in (y, y / gamma)):
            return "that is the forward pass: asked for is the way back, from grad_y to x."
        for keep in (False, True):
            if alike(got, (i.grad.sum((0, 2, 3), keepdim=keep),)):
                return "that is the gradient of beta: asked for is the one of x."
            variance, mean = torch.var_mean(i.x, (0, 2, 3), correction=0, keepdim=True)
            normal = (i.x - mean) / (variance + i.eps).sqrt()
            if alike(got, ((i.grad * normal).sum((0, 2, 3), keepdim=keep),)):
                return "that is the gradient of gamma: asked for is the one of x."
        return ""

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for a gradient that is nearly right, or but for a factor; else ""."""
        if alike(got, self.expected(i), rtol=5e-2, atol=5e-2):
            return (
                "nearly right, as a difference quotient is: the three paths, written out, give "
                "all digits."
            )
        doubled = self.call(run, replace(i, grad=2 * i.grad).copy())
        if alike(as_tensors(doubled, self.names), got):
            return "grad_y is not used: g is gamma · grad_y, and what comes back grows with it."
        (right,) = self.expected(i)
        return factor(got[0], right, "the gradient") if got[0].shape == right.shape else ""

    def differentiable(self, i: Inputs) -> dict[str, torch.Tensor]:
        """Nothing: this is the backward pass itself."""
        return {}

    def extra(self, run: Callable) -> None:
        """By hand: nothing is recorded for autograd."""
        recorded = False

        def note(saved: torch.Tensor) -> torch.Tensor:
            nonlocal recorded
            recorded = True
            return saved

        try:
            with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
                self.call(run, sample(self.layout))
        except RuntimeError:
            recorded = True  # torch.func takes no such hooks, and without them it has worked
        if recorded:
            raise Wrong(
                "The gradient is right, but autograd has computed it.",
                "asked for is what autograd does: g − mean(g) − x̂ · mean(g · x̂), with means over "
                "S, and all of it divided by sqrt(variance + eps).",
            )
