"""The normalisation layers of the course: the ones a network is built from."""

from __future__ import annotations

from torch import nn

KINDS = ("batch", "group", "layer", "none")


def make_norm(kind: str, channels: int, groups: int = 4) -> nn.Module:
    """Make the normalisation layer `kind` for feature maps of shape (N, C, H, W).

    kind: "batch" is `nn.BatchNorm2d` (Ioffe & Szegedy, 2015), "group" is `nn.GroupNorm`
    (Wu & He, 2018), "layer" is one group that holds every channel, `nn.GroupNorm(1, C)`
    (Ba, Kiros & Hinton, 2016, with a scale and a shift per channel), "none" is `nn.Identity`.
    channels: C. Every kind but "none" has 2C parameters.
    groups: into how many groups "group" cuts the channels; the other kinds ignore it.

    Raises ValueError for an unknown kind, for fewer than one channel, and for a number of
    groups that does not divide the channels.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown norm {kind!r}: choose one of {', '.join(KINDS)}")
    if channels < 1:
        raise ValueError(f"a norm needs at least one channel, got channels={channels}")
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        _check_groups(channels, groups)
        return nn.GroupNorm(groups, channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def _check_groups(channels: int, groups: int) -> None:
    """Raise ValueError unless `groups` cuts `channels` into groups of equal size."""
    if groups < 1 or channels % groups:
        divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ValueError(
            f"{channels} channels cannot be cut into {groups} groups of equal size: "
            f"choose groups from {divisors}"
        )
