"""Tables of the networks themselves: their parameters, and their layers."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

from common.networks import NETWORKS, parameters_missed, skips_missed, summary
from common.reports.cells import each, markdown
from common.reports.field_tables import network_of, norm_words, parameters_of
from common.settings import LESSONS, ROOT

if TYPE_CHECKING:
    from torch import nn


def lesson_networks(lesson: str) -> dict[str, str]:
    """The networks of a lesson and the norm each is built with there, from its ``model.py``."""
    path = ROOT / lesson / "model.py"
    spec = importlib.util.spec_from_file_location(f"model of {lesson}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


def networks_section() -> str:
    """Every network: with which norms in which lessons, its parameters, and its layers, folded."""
    rows, folds = [], []
    in_lessons = {lesson: lesson_networks(lesson) for lesson in LESSONS.values()}
    for network, about in NETWORKS.items():
        theirs = {lesson: mine[network] for lesson, mine in in_lessons.items() if network in mine}
        source = about.source
        if source.startswith("github.com/"):
            repository, _, rest = source.removeprefix("github.com/").partition(",")
            source = f"[{repository}](https://github.com/{repository})" + (rest and f",{rest}")
        model = network_of(network, about.default_norm)
        inside = sum(parameters_of(layer) for layer in model.modules() if _is_norm(layer))
        rows.append(
            (
                f"`{network}`",
                each(norm_words(network_of(network, norm)) for norm in theirs.values()),
                f"{parameters_of(model):,}",
                f"{inside:,}",
                ", ".join(f"[{name}](../../{name}/README.md)" for name in theirs),
                source,
            )
        )
        folds.append(_fold(network, model))
    header = ("Network", "Norm", "Parameters", "of these in norms", "Lessons", "Source")
    return "\n\n".join([markdown(header, rows, "llrr"), *folds])


def _is_norm(layer: nn.Module) -> bool:
    from torch import nn

    return isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)


@cache
def _fold(network: str, model: nn.Module) -> str:
    missed = []
    if skips := len(skips_missed(model)):
        missed.append(f"the {skips} skip connection{'s' if skips > 1 else ''}, sums without a row")
    if others := sum(parameters_missed(model).values()):
        missed.append(f"{others:,} parameters under other names than weight and bias")
    note = f"\n\nNot in the table: {'; '.join(missed)}." if missed else ""
    title = f"<code>{network}</code>, with {norm_words(model)}"
    return (
        f"<details><summary>{title}</summary>\n\n```text\n{summary(model)}\n```{note}\n\n</details>"
    )
