"""What well-known mistakes make of running statistics, in a step and in eval mode."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.inputs import Inputs, alike
from common.exercises.mistakes import BIASED, INVERTED, REPLACED
from common.exercises.traces import factor

RUNNING = {"running_mean": 0.0, "running_var": 1.0}  # and how they start
MOMENTUM = 0.3
EPS = 0.1
STEPS = 3  # before the first evaluation
_IN_EVAL = "it is gamma · (x − running_mean) / sqrt(running_var + eps) + beta."


def evaluated(i: Inputs, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """What batch norm gives in eval mode."""
    return F.batch_norm(i.x, mean.flatten(), variance.flatten(), i.gamma, i.beta, eps=i.eps)


def known_steps(
    name: str, before: dict[str, torch.Tensor], i: Inputs
) -> list[tuple[torch.Tensor, str]]:
    """What well-known mistakes make of a running statistic in one step.

    before: the running statistics before the step.
    """
    x, old = i.x, before[name]
    n, c, h, w = x.shape
    biased, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    unbiased = biased * (n * h * w) / (n * h * w - 1)
    m = MOMENTUM
    one_by_one = old
    for image in x:
        spread, centre = torch.var_mean(image, (1, 2))
        one_by_one = (1 - m) * one_by_one + m * (centre if name == "running_mean" else spread)
    of_all = x.mean() if name == "running_mean" else x.var()
    news = [(mean, "")] if name == "running_mean" else [(unbiased, ""), (biased, BIASED)]
    known = []
    for new, also in news:
        also = f" And {also}" if also else ""
        known += [
            (
                old,
                f"{name} does not move in train mode: update it in every forward pass, in place or "
                f"by an assignment to self.{name}. What is computed and not kept there is lost.",
            ),
            (m * old + (1 - m) * new, INVERTED + also),
            (new, f"{REPLACED} (It is no average of all batches so far, either.){also}"),
            (old + m * new, "the old value must be scaled by 1 − momentum." + also),
            (0.9 * old + 0.1 * new, f"momentum is fixed at 0.1: use self.momentum.{also}"),
            ((1 - m) * old + new, f"the new value must be scaled by momentum.{also}"),
            (m * new, f"the old value is lost: add (1 − momentum) · old.{also}"),
            (old - m * (new - old), f"the sign is wrong: old + momentum · (new − old).{also}"),
            (
                (1 - m) ** 2 * old + (1 - (1 - m) ** 2) * new,
                f"{name} moves twice in one forward pass: once is enough.{also}",
            ),
            (0.1 * old + 0.9 * new, f"momentum is fixed, and inverted: use self.momentum.{also}"),
            *(
                ((1 - k) * old + k * new, f"momentum is fixed at {k:g}: use self.momentum.{also}")
                for k in (0.5, 0.01)
            ),
        ]
    other = "variance" if name == "running_mean" else "mean"
    if name == "running_mean":
        known += [
            (
                (1 - m) * old + m * mean + m * (new - goal),
                "running_mean moves twice, first towards the mean and then towards the variance: "
                "is the second one meant to be running_var?",
            )
            for new in (unbiased, biased)
            for goal in (before["running_var"], (1 - m) * old + m * mean)
        ]
    else:
        of_images = torch.var_mean(x, (2, 3), correction=0)
        known += [
            (
                (1 - m) * old + m * new,
                f"{what} moves running_var: take the variance over N, H and W at once.",
            )
            for k in (0, 1)
            for new, what in (
                (
                    of_images[1].var(0, correction=min(k, n - 1)),
                    "the variance of the images' means",
                ),
                (
                    x.var((2, 3), correction=min(k, h * w - 1)).mean(0),
                    "the mean of the images' variances",
                ),
            )
        ]
    known += [
        (
            one_by_one,
            f"{name} moves once for each image: once for a batch, towards what is over N, H and W.",
        ),
        (
            (1 - m) * old + m * of_all,
            "one number moves all channels: each channel has its own, over N, H and W.",
        ),
    ]
    known += [
        ((1 - m) * old + m * new, f"{name} takes the batch's {other} here, a slip of the pen.")
        for new in ((unbiased, biased) if other == "variance" else (mean,))
    ]
    y = F.batch_norm(x, None, None, i.gamma, i.beta, training=True, eps=EPS)
    x_hat = F.batch_norm(x, None, None, training=True, eps=EPS)
    for output in (y, x_hat):
        for correction in (0, 1) if name == "running_var" else (0,):
            spread, centre = torch.var_mean(output, (0, 2, 3), correction=correction)
            new = centre if name == "running_mean" else spread
            known.append(
                (
                    (1 - m) * old + m * new,
                    "the statistics are those of what comes out of the norm: take those of x.",
                )
            )
    if name == "running_mean":
        return known
    moved = (1 - m) * before["running_mean"] + m * mean
    for centre in (before["running_mean"], moved):
        about = biased + (mean - centre).square()
        known += [
            (
                (1 - m) * old + m * factor * about,
                "running_var takes the distances from the running mean, or from 0 (the mean of "
                "x²): those from the batch's own mean count.",
            )
            for factor in (1, n * h * w / (n * h * w - 1))
        ]
    known.insert(0, ((1 - m) * old + m * biased, BIASED))
    known += [
        ((1 - m) * moved + m * new, "the old value in running_var is running_mean's.")
        for new in (unbiased, biased)
    ]
    for new in (unbiased, biased):
        also = f" And {BIASED}" if new is biased else ""
        known += [
            (
                (1 - m) * old + m * new.sqrt(),
                "running_var takes the variance, not the standard deviation.",
            ),
            ((1 - m) * old + m * (new + EPS), f"eps does not belong into running_var.{also}"),
        ]
    sizes = {
        "N": n, "H · W": h * w, "C": c, "N · C": n * c, "N · C · H · W": x.numel(), "H": h, "W": w,
    }  # fmt: skip
    known += [
        (
            (1 - m) * old + m * biased * size / (size - 1),
            f"|S| in |S| / (|S| − 1) is taken as {words}: a channel's S holds N · H · W values.",
        )
        for words, size in sizes.items()
        if size > 1
    ]
    size = n * h * w
    twisted = "|S| / (|S| − 1) is the wrong way round or applied twice: PyTorch's is biased · {}."
    return [
        *known,
        *(
            ((1 - m) * old + m * biased * factor, twisted.format("|S| / (|S| − 1), once"))
            for factor in ((size - 1) / size, (size / (size - 1)) ** 2)
        ),
    ]


def known_in_eval_mode(
    twin: nn.BatchNorm2d, i: Inputs, before: dict[str, torch.Tensor]
) -> list[tuple[torch.Tensor, str]]:
    """What well-known mistakes give in eval mode."""
    gamma, beta = twin.weight[:, None, None], twin.bias[:, None, None]
    old_mean, old_var = (before[name].detach()[:, None, None] for name in RUNNING)
    biased, mean = torch.var_mean(i.x, (0, 2, 3), correction=0)
    unbiased = i.x.var((0, 2, 3))
    m = MOMENTUM
    moved = [
        evaluated(
            replace(i, gamma=twin.weight, beta=twin.bias, eps=EPS),
            (1 - m) * before["running_mean"] + m * mean,
            (1 - m) * before["running_var"] + m * variance,
        )
        for variance in (biased, unbiased)
    ]
    batch = F.batch_norm(i.x, None, None, twin.weight, twin.bias, training=True, eps=EPS)
    root = (old_var + EPS).sqrt()
    share = 1 - (1 - m) ** STEPS
    mixed = "in eval mode both come from the running statistics, here the {} is the batch's."
    own_mean, own_root = mean[:, None, None], (biased[:, None, None] + EPS).sqrt()
    return [
        (
            batch,
            "in eval mode the batch's own statistics are used: once self.training is False, "
            "running_mean and running_var take their place.",
        ),
        *(
            (
                output,
                "in eval mode the running statistics are updated before they are used: only "
                "training may move them.",
            )
            for output in moved
        ),
        (
            (i.x - old_mean) * gamma / (old_var.sqrt() + EPS) + beta,
            "eps stands outside the root in eval mode: sqrt(running_var + eps).",
        ),
        (
            (i.x - old_mean) * gamma / old_var.sqrt() + beta,
            "eps is missing in eval mode: sqrt(running_var + eps).",
        ),
        (
            (i.x - old_mean) * gamma / (old_var + EPS) + beta,
            "in eval mode you divide by running_var + eps: take its square root.",
        ),
        (
            (i.x - old_mean) * gamma / (old_var.sqrt() + EPS).sqrt() + beta,
            "in eval mode you take the root twice: running_var is a variance, one root is enough.",
        ),
        (
            (i.x - old_var) * gamma / (old_mean + EPS).sqrt() + beta,
            "running_mean and running_var are swapped in eval mode.",
        ),
        *(
            (output, f"in eval mode {what}: {_IN_EVAL}")
            for output, what in (
                ((i.x - old_mean) / root, "gamma and beta are not used"),
                ((i.x - old_mean) / root * gamma, "beta is not added"),
                ((i.x - old_mean) / root + beta, "gamma is not used"),
                (i.x / root * gamma + beta, "running_mean is not subtracted"),
                ((i.x + old_mean) / root * gamma + beta, "running_mean is added"),
                ((i.x - old_mean) / (old_var + 2 * EPS).sqrt() * gamma + beta, "eps counts twice"),
            )
        ),
        (
            (i.x - old_mean / share) / (old_var / share + EPS).sqrt() * gamma + beta,
            "the running statistics are divided by 1 − (1 − momentum)^t, as Adam does: batch norm "
            "uses them as they are.",
        ),
        ((i.x - own_mean) / root * gamma + beta, mixed.format("mean")),
        ((i.x - old_mean) / own_root * gamma + beta, mixed.format("variance")),
        (i.x, "in eval mode the input is returned as it is: it is normalised there as well."),
    ]


def known_moves_in_eval_mode(name: str, before: torch.Tensor) -> list[tuple[torch.Tensor, str]]:
    """What a running statistic becomes in eval mode if it is computed with in place."""
    hint = (
        f"{name} itself is changed in place (add_, sqrt_, +=): make a new tensor of it, as in "
        f"(self.{name} + eps).sqrt()."
    )
    return [(value, hint) for value in (before + EPS, before.sqrt(), (before + EPS).sqrt())]


def other_momentum(
    name: str, got: dict[str, torch.Tensor], old: dict[str, torch.Tensor], x: torch.Tensor
) -> str:
    """The hint for a step by another momentum, or towards a multiple; else ""."""
    # While running_mean is still 0, any factor looks like a momentum; running_var starts at 1.
    names = [name] if old[name].any() else list(RUNNING)
    found = [_momentum(one, got[one], old[one], x) for one in names]
    if None in found or max(found) - min(found) > 1e-3:
        spread, centre = torch.var_mean(x, (0, 2, 3))
        towards = (got[name] - (1 - MOMENTUM) * old[name]) / MOMENTUM
        what = f"what {name} moves towards"
        return factor(towards, centre if name == "running_mean" else spread, what)
    return (
        f"the momentum counts as {found[0]:.3g} in this step, and is {MOMENTUM:g}: take "
        "self.momentum as it is, the same in every step."
    )


def _momentum(name: str, got: torch.Tensor, old: torch.Tensor, x: torch.Tensor) -> float | None:
    """The momentum by which a running statistic has moved; None if there is none."""
    spread, centre = torch.var_mean(x, (0, 2, 3))
    way = (centre if name == "running_mean" else spread) - old
    momentum = float(((got - old) * way).sum() / way.square().sum())
    return momentum if alike((got - old,), (momentum * way,)) else None
