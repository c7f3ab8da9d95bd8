"""Tables of the field's networks: what was claimed, what the same images gave with two recipes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING

from common.experiments import FIELD, RECIPES, Entry, Source, compare_means, summarise
from common.reports.cells import (
    DASH,
    accuracy_cell,
    device_words,
    each,
    last_epoch_cell,
    markdown,
    seed_words,
    signed,
)
from common.reports.kept import Results, finished, grouped, load_results
from common.settings import LESSONS, ROOT
from common.training import History
from common.visualisation import LABELS

if TYPE_CHECKING:
    from torch import nn

    from common.experiments import Run


def field_table(results: Results, entries: Sequence[Entry] = FIELD) -> str:
    """Networks of the field: what is claimed, and what was measured with both recipes."""
    from common.training import course_recipe

    rows = []
    for entry in entries:
        source, course = _both(results, entry)
        epochs = [recipe.epochs for recipe in (entry.recipe, course_recipe(entry.norm)) if recipe]
        model = network_of(entry.network, entry.norm)
        gain = _gain(source, course)
        rows.append(
            [
                f"`{entry.network}`",
                norm_words(model),
                f"{parameters_of(model):,}",
                " / ".join(map(str, dict.fromkeys(epochs))),
                f"{entry.claim.test:.2f} ({entry.claim.train:.2f})" if entry.claim else DASH,
                last_epoch_cell(source),
                accuracy_cell(course),
                DASH if gain is None else signed(gain),
                each(run.dataset for run in (*source, *course)),
            ]
        )
    header = (
        *("Network", "Norm", "Parameters", "Epochs", "Claimed"),
        *("Source's recipe", "Course's recipe", "Gain", "Data set"),
    )
    return markdown(header, rows, "llrrrrrr")


def field_notes(results: Results) -> str:
    """What the figures of the field's table are, made with which seeds on which devices."""
    runs = {which: [] for which in RECIPES}
    for entry in FIELD:
        for which, mine in zip(RECIPES, _both(results, entry), strict=True):
            runs[which] += mine
    whose = {"source": "sources'", "course": "course's"}
    made = [
        f"{seed_words(mine).lower()} with the {whose[which]} recipe{'s' * (which == 'source')}"
        for which, mine in runs.items()
        if mine
    ]
    text = [
        "Test accuracy in % after the last epoch, one run or mean ± standard deviation over n "
        "seeds. In brackets what the sources call train accuracy: the running average of the last "
        "epoch, over augmented images, while the weights still move. Epochs: the source's / the "
        "course's, where they differ. Gain: the course's recipe against the source's on the same "
        "images, in points. Sources report one run each, on CIFAR-10's original images.",
    ]
    if made:
        devices = each(device_words(run) for mine in runs.values() for run in mine)
        text.append(f"{', '.join(made)}; {devices}.")
        text[-1] = text[-1][0].upper() + text[-1][1:]
    notes: dict[str, list[str]] = {}
    for entry in FIELD:
        if entry.note:
            notes.setdefault(entry.note, []).append(f"`{entry.network}` ({LABELS[entry.norm]})")
    lines = [f"- {', '.join(names)}: {note[0].lower()}{note[1:]}" for note, names in notes.items()]
    return " ".join(text) + ("\n\n" + "\n".join(lines) if lines else "")


def field_findings(results: Results, entries: Sequence[Entry] = FIELD) -> str:
    """Where the course's recipe stays below a claim or within the spread; empty without runs."""
    gaps, reached, below, close, clear = [], [], [], [], []
    for entry in entries:
        source, course = map(finished, _both(results, entry))
        name = f"`{entry.network}` {LABELS[entry.norm]}"
        if source and entry.claim:
            gaps.append(fmean(run.test_accuracy for run in source) - entry.claim.test)
        if course and entry.claim:
            gap = fmean(run.test_accuracy for run in course) - entry.claim.test
            (reached if gap >= 0 else below).append(f"{name} ({signed(gap)})")
        gain, spread = _gain(source, course), _spread(source, course)
        if gain is not None and spread is not None:
            text = f"{name} ({signed(gain)} ± {spread:.2f})"
            (clear if gain > spread else close).append(text)
    lines = []
    if gaps:
        lines.append(
            f"With the sources' own recipes the results here are {_away(fmean(gaps))} their claims "
            f"on average ({len(gaps)} network{'s' if len(gaps) > 1 else ''}): what other images, "
            "the repairs and chance make together."
        )
    if reached or below:
        share = f"{len(reached)} of {len(reached) + len(below)}"
        lines.append(
            f"With the course's recipe {share} networks are at or above their source's claim"
            + (f"; below it: {', '.join(below)}." if below else ".")
        )
    if clear or close:
        share = f"{len(clear)} of {len(clear) + len(close)}"
        lines.append(
            f"On the same images {share} beat their source's recipe by more than the standard "
            "deviation over seeds" + (f"; not so: {', '.join(close)}." if close else ".")
        )
    if apart := _norms_apart(results, entries):
        lines.append(
            "From the best norm to the worst, with the source's recipe and then the course's: "
            f"{'; '.join(apart)}."
        )
    if gains := _pooling_gains(results, entries):
        lines.append(
            "Averaging all 7×7 cells at the end (`wide-31k-adaptive`) and not the top left 4×4 of "
            "them (`wide-31k`) changes, in points with the 95 % interval of the difference: "
            f"{'; '.join(gains)}."
        )
    return "\n".join(f"- {line}" for line in lines)


def both_ways(
    results: Results, entries: Sequence[Entry] = FIELD
) -> dict[str, list[tuple[list[History], list[History]]]]:
    """Networks with several norms that have finished runs of each, both ways, on the same images.

    ``network -> [(the source's runs, the course's runs), …]``, a pair a norm.
    """
    found = {}
    for network in dict.fromkeys(entry.network for entry in entries):
        mine = [entry for entry in entries if entry.network == network]
        both = [tuple(map(finished, _both(results, entry))) for entry in mine]
        datasets = {run.dataset for pair in both for runs in pair for run in runs}
        if len(mine) > 1 and all(map(all, both)) and len(datasets) == 1:
            found[network] = both
    return found


def _norms_apart(results: Results, entries: Sequence[Entry]) -> list[str]:
    """How far the norms of a network lie apart with each recipe, a piece of text a network."""
    texts = []
    for network, both in both_ways(results, entries).items():
        points = [
            [fmean(run.test_accuracy for run in runs) for runs in which]
            for which in zip(*both, strict=True)
        ]
        source, course = (max(norms) - min(norms) for norms in points)
        texts.append(f"`{network}` {source:.2f} and {course:.2f} points")
    return texts


def _pooling_gains(results: Results, entries: Sequence[Entry]) -> list[str]:
    """What ``wide-31k`` gains from seeing its whole last map, a piece of text a norm."""
    shown = {(entry.network, entry.norm) for entry in entries}
    texts = []
    for norm in LESSONS:
        pair = ("wide-31k-adaptive", norm), ("wide-31k", norm)
        runs = [finished(results.field_runs.get((*key, "course"), [])) for key in pair]
        datasets = {run.dataset for mine in runs for run in mine}
        if shown.issuperset(pair) and min(map(len, runs)) > 1 and len(datasets) == 1:
            found = compare_means(*([run.test_accuracy for run in mine] for mine in runs))
            interval = f"{signed(found.low)} to {signed(found.high)}"
            texts.append(f"{LABELS[norm]} {signed(found.mean)} ({interval})")
    return texts


def compression_table(results: Results) -> str:
    """What it cost to store the images as JPEG (once more) before the training; may be empty."""
    rows = []
    for (network, norm, which), runs in results.compressed.items():
        plain = finished(results.field_runs.get((network, norm, which), []))
        for (_, dataset), mine in grouped(finished(runs)):
            original = [run for run in plain if dataset.startswith(f"{run.dataset}, ")]
            if not original:
                continue
            one, other = ([run.test_accuracy for run in some] for some in (mine, original))
            interval = DASH
            if min(len(one), len(other)) > 1:
                found = compare_means(one, other)
                interval = f"{signed(found.low)} to {signed(found.high)}"
            rows.append(
                [
                    f"`{network}`",
                    LABELS[norm],
                    f"the {which}'s",
                    original[0].dataset,
                    accuracy_cell(original),
                    dataset.removeprefix(f"{original[0].dataset}, "),
                    accuracy_cell(mine),
                    signed(fmean(one) - fmean(other)),
                    interval,
                ]
            )
    if not rows:
        return ""
    header = (
        *("Network", "Norm", "Recipe", "Images", "Test %"),
        *("The same images", "Test %", "Points", "95 % interval"),
    )
    return "**What compression costs**\n\n" + markdown(header, rows, "llllrlrrr")


def _away(points: float) -> str:
    return f"{abs(points):.2f} points {'below' if points < 0 else 'above'}"


def source_notes() -> str:
    """Each source's own recipe, and what was repaired in it."""
    lines = []
    for source in dict.fromkeys(entry.source for entry in FIELD):
        link = f"[{source.name}](https://github.com/{source.name})"
        lines.append(f"- {link}: {_recipe_words(source)}. Repaired: {' '.join(source.repairs)}")
        lines[-1] += f" Different: {' '.join(source.differences)}"
    return "\n".join(lines)


def _recipe_words(source: Source) -> str:
    recipe = source.recipe
    mine = [entry.recipe for entry in FIELD if entry.source is source and entry.recipe]
    schedules = {
        "plateau": f"divided by ten after {recipe.patience + 1} epochs without progress",
        "one-cycle-cosine": "one cycle, as PyTorch has it",
    }
    names = {"adam": "Adam", "sgd": "SGD with momentum"}
    changes = []
    if recipe.augmentation == "randaugment":
        changes.append("RandAugment")
    if recipe.flip:
        changes.append("flip")
    if recipe.shift:
        changes.append(f"{recipe.shift}-pixel shift")
    text = [
        f"{names[recipe.optimiser]}, learning rate {recipe.learning_rate:g}, "
        f"{schedules[recipe.schedule]}",
        f"batch {' or '.join(str(b) for b in dict.fromkeys(r.batch_size for r in mine))}",
        f"{recipe.epochs} epochs",
        " and ".join(changes) or "no augmentation",
    ]
    return "; ".join(text)


def field_section(results: Results) -> str:
    """The whole field: table, findings, notes and recipes."""
    parts = [field_table(results), field_findings(results), field_notes(results)]
    parts.append(compression_table(results))
    recipes = "**The sources' recipes, and what was repaired**\n\n" + source_notes()
    return "\n\n".join(part for part in [*parts, recipes] if part)


def _both(results: Results, entry: Entry) -> tuple[list[History], list[History]]:
    source, course = (results.field_runs.get((entry.network, entry.norm, r), []) for r in RECIPES)
    return source, course


def _gain(source: Sequence[History], course: Sequence[History]) -> float | None:
    """Points that the course's recipe gains; None unless both were run on the same images."""
    source, course = finished(source), finished(course)
    if not source or not course or len({run.dataset for run in (*source, *course)}) > 1:
        return None
    first, second = (fmean(run.test_accuracy for run in runs) for runs in (course, source))
    return first - second


def _spread(source: Sequence[History], course: Sequence[History]) -> float | None:
    """The larger standard deviation of the two; None where neither has two runs."""
    several = [runs for runs in (source, course) if len(runs) > 1]
    spreads = [summarise([run.test_accuracy for run in runs]).deviation for runs in several]
    return max(spreads, default=None)


@cache
def network_of(network: str, norm: str) -> nn.Module:
    """A network, built once."""
    from common.networks import build

    return build(network, norm)


def parameters_of(model: nn.Module) -> int:
    """How many parameters a module has."""
    from common.networks import count_parameters

    return count_parameters(model)


def field_report(runs: Sequence[Run], histories: Sequence[History]) -> str:
    """What the command line says after a study of the field: the networks that were trained."""
    results = Results(ROOT)
    for run, history in zip(runs, histories, strict=True):
        which, _, jpeg = run.label.partition("-")
        table = results.compressed if jpeg else results.field_runs
        table.setdefault((run.network, run.norm, which), []).append(history)
    if results.compressed:
        # On their own these runs say little: those on the images as they are belong beside them.
        kept = load_results(ROOT).field_runs
        results.field_runs |= {key: kept[key] for key in results.compressed if key in kept}
    done = {key[:2] for key in results.field_runs}
    entries = [entry for entry in FIELD if (entry.network, entry.norm) in done]
    parts = [field_table(results, entries), field_findings(results, entries)]
    parts.append(compression_table(results))
    return "\n\n".join(part for part in parts if part)


def norm_words(model: nn.Module) -> str:
    """Which norm the layers of a network really are, for instance ``GroupNorm, 4 groups``."""
    from torch import nn

    words = []
    for layer in model.modules():
        if isinstance(layer, nn.GroupNorm):
            many = f"GroupNorm, {layer.num_groups} groups"
            words.append("LayerNorm (one group)" if layer.num_groups == 1 else many)
        elif isinstance(layer, nn.LayerNorm):
            words.append("LayerNorm [C, H, W]")
        elif isinstance(layer, nn.BatchNorm2d):
            words.append("BatchNorm")
    return each(words)
