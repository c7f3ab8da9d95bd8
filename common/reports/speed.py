"""What the benchmark measured, in words: its report, and what became of its goals."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.experiments import benchmark, targets
from common.files import check_target, write_atomically
from common.visualisation import LABELS


def report(results: dict[str, Any]) -> str:
    """Everything measured, as plain text: one table, then the profiles if there are any."""
    norms = results["norms"]
    rows: list[tuple[str, list[str]]] = []

    def row(name: str, value: Callable[[dict[str, Any]], float | None], form: str) -> None:
        values = [value(measured) for measured in norms.values()]
        rows.append((name, ["–" if v is None else format(v, form) for v in values]))

    def rate(part: str, name: str) -> Callable[[dict[str, Any]], float]:
        return lambda measured: statistics.median(measured[part][name])

    first = next(iter(norms.values()))
    loaders = [name for name in first["ways"] if name.startswith("loader")]
    images = results["train_images"] // results["batch_size"] * results["batch_size"]
    layouts = sorted(benchmark.LAYOUTS, key=lambda name: name != results["layout"])

    row("(a) the training loop's batches", rate("ways", "own"), ",.0f")
    row("    an epoch, in seconds", lambda m: images / rate("ways", "own")(m), ".1f")
    for name in loaders:
        text = f"(b) DataLoader, {name.split()[1]} workers"
        row(text, rate("ways", name), ",.0f")
        row("    an epoch, in seconds", lambda m, n=name: images / rate("ways", n)(m), ".1f")
    row(f"(c) bare step, {layouts[0]}", rate("ways", "fixed"), ",.0f")
    row("    an epoch, in seconds", lambda m: images / rate("ways", "fixed")(m), ".1f")
    row(f"    bare step, {layouts[1]}", rate("ways", "other layout"), ",.0f")
    row("a / best b", lambda m: ratio(m["ways"], "own", best(m["ways"], loaders)), ".2f")
    row(
        f"a / c, {len(first['ways']['own, paired'])} rounds",
        lambda m: ratio(m["ways"], "own, paired", "fixed, paired"),
        ".3f",
    )
    text = f"{layouts[0]} / {layouts[1]}"
    row(text, lambda m: ratio(m["ways"], "fixed", "other layout"), ".2f")
    for name in map(str, benchmark.ACCELERATIONS):
        if all(name in measured["ways"] for measured in norms.values()):
            row(f"    bare step, {name}", rate("ways", name), ",.0f")
            row("    … / bare step", lambda m, n=name: ratio(m["ways"], n, "fixed"), ".2f")
    for name in (name for name in first["ways"] if name.endswith("as one")):
        row(f"{name.split()[0]} seeds as one, in all", rate("ways", name), ",.0f")
        row("    … / one seed", lambda m, n=name: ratio(m["ways"], n, "own"), ".2f")
    if "processes" in first:
        at_once = [name for name in first["processes"] if name.endswith("at once")]
        rows.append(("", []))
        row("freed memory kept (tune_process)", rate("processes", "tuned"), ",.0f")
        row("freed memory given back", rate("processes", "untuned"), ",.0f")
        row("kept / given back", lambda m: ratio(m["processes"], "tuned", "untuned"), ".2f")
        row("evaluation, kept", lambda m: m["processes"]["evaluation"], ",.0f")
        row("evaluation, given back", lambda m: m["processes"]["untuned evaluation"], ",.0f")
        row("peak memory in MB, kept", lambda m: m["processes"]["memory"]["process"], ",.0f")
        row(
            "peak memory in MB, given back",
            lambda m: m["processes"]["untuned memory"]["process"],
            ",.0f",
        )
        row("    of which imports", lambda m: m["processes"]["memory"]["imports"], ",.0f")
        if "device" in first["processes"]["memory"]:
            row("peak GPU memory in MB", lambda m: m["processes"]["memory"]["device"], ",.0f")
        rows.append(("", []))
        row(f"1 run of {results['threads']} threads", rate("processes", "tuned"), ",.0f")
        for name in at_once:
            count = int(name.split()[0])
            text = f"{count} run{'s' if count > 1 else ''} of 1 thread, in all"
            row(text, rate("processes", name), ",.0f")
        if at_once:
            most = at_once[-1]
            row(
                f"{most.split()[0]} runs / 1 run of {results['threads']}",
                lambda m: ratio(m["processes"], most, "tuned"),
                ".2f",
            )
    lines = [
        f"{results['network']} network on {results['dataset']}, batches of "
        f"{results['batch_size']}, {results['optimiser']}"
        + (f", {kind}" if (kind := results.get("acceleration")) else ""),
        f"{results['device']}, {results['threads']} threads, "
        f"PyTorch {results['versions']['torch']}",
        f"Images a second where nothing else is said: medians of {results['rounds']} rounds of "
        f"{results['batches']} batches;",
        "all ways take turns in each round, and a ratio is the median of the rounds' ratios.",
        "",
        _line("", [LABELS.get(norm, norm) for norm in norms]),
        *(_line(name, values) for name, values in rows),
    ]
    for norm, measured in norms.items():
        for when, operators in measured.get("profile", {}).items():
            lines += ["", *_profile_lines(f"{LABELS.get(norm, norm)}, {when}", operators)]
    return "\n".join(lines)


def goals(results: dict[str, Any]) -> list[str]:
    """What a run on a CPU should reach, whether this one did, and where not, what stood in the way.

    A sentence a goal, in Markdown, figures in the order of the norms; none for results of another
    kind of device.
    """
    if not results["device"].startswith("CPU"):
        return []
    norms = results["norms"]
    first = next(iter(norms.values()))
    loaders = [name for name in first["ways"] if name.startswith("loader")]

    def step(measured: dict[str, Any], way: str) -> float:
        return 1000 * results["batch_size"] / statistics.median(measured["ways"][way])

    def each(value: Callable[[dict[str, Any]], float | None], form: str) -> str:
        values = [value(measured) for measured in norms.values()]
        return " / ".join("never" if v is None else format(v, form) for v in values)

    def sentence(
        goal: str, value: Callable[[dict[str, Any]], float | None], form: str, fine: Any, why: str
    ) -> str:
        reached = all(fine(value(measured)) for measured in norms.values())
        verdict = "reached" if reached else f"missed: {why}"
        return f"{goal}: {each(value, form)}; {verdict}."

    lines = [
        sentence(
            "The data path costs almost nothing, a / c at least 0.95",
            lambda m: ratio(m["ways"], "own, paired", "fixed, paired"),
            ".2f",
            lambda v: v >= 0.95,
            "augmentation takes time that the step does not hide",
        ),
        sentence(
            "At least 1.5 times the best `DataLoader`",
            lambda m: ratio(m["ways"], "own", best(m["ways"], loaders)),
            ".2f",
            lambda v: v >= 1.5,
            "the step itself takes "
            + each(lambda m: step(m, "own"), ".0f")
            + " ms, to which the loader adds "
            + each(lambda m: step(m, best(m["ways"], loaders)) - step(m, "own"), ".0f")
            + " ms; the network would have to be cheaper for more",
        ),
        sentence(
            "Less than 1,500 MB of memory",
            lambda m: m["processes"]["memory"]["process"],
            ",.0f",
            lambda v: v < 1500,
            f"importing PyTorch takes {first['processes']['memory']['imports']:,.0f} MB before "
            "anything else; the images, the optimiser's imports and what a batch keeps for the way "
            "back take the rest",
        ),
    ]
    return lines


def targets_report(results: dict[str, Any]) -> str:
    """How soon each norm reaches a target, beside the field's best network; as plain text."""
    norms = results["targets"]
    ways = {
        "race": "the race",
        "course": "the course's recipe",
        "source": f"{targets.RIVAL}, its source's recipe",
    }
    lines = [
        f"Training time on {results['dataset']}; {results['device']}, "
        f"{results['threads']} threads, PyTorch {results['versions']['torch']}",
        f"An epoch's cost is the median of {results['rounds']} rounds of {results['batches']} "
        "batches, all ways in turn;",
        "the epoch is the first past the target, in the median of the runs that are shipped.",
        "",
        _line("", [LABELS.get(norm, norm) for norm in norms]),
    ]
    for target in targets.TARGETS:
        found = _seconds(norms, target)
        lines.append(f"seconds to {target:g} % of the test images")
        for way, words in ways.items():
            if any(found[way]):
                lines.append(_line(f"  {words}", [_number(v, ".0f") for v in found[way]]))
        lines.append(_line("  times sooner", [_number(v, ".1f") for v in _sooner(found)]))
    return "\n".join(lines)


def targets_goal(results: dict[str, Any]) -> str:
    """What was aimed at, ten and five times sooner than the field's best, and what came of it."""
    parts = []
    for target, goal in zip(targets.TARGETS, (10, 5), strict=True):
        times = _sooner(_seconds(results["targets"], target))
        words = " / ".join(_number(v, ".1f") for v in times)
        fine = all(v is not None and v >= goal for v in times)
        came = "reached" if fine else f"missed: {_what_it_takes(results['targets'], target)}"
        parts.append(f"{goal} times sooner at {target:g} %: {words}; {came}.")
    return (
        "The goals, a figure a norm (*never*: the rival does not get there with that norm, or "
        f"some seed of ours does not): {' '.join(parts)}"
    )


def _what_it_takes(norms: dict[str, Any], target: float) -> str:
    """Epochs to the target, and what one costs: what the ratio of both ways is made of."""

    def words(way: str) -> str:
        epochs = (_number(m["epochs"][way][f"{target:g}"], "g") for m in norms.values())
        costs = (_number(targets.epoch_cost(m, way), ".0f") for m in norms.values())
        return f"{' / '.join(epochs)} epochs of {' / '.join(costs)} s"

    return f"the course's recipe takes {words('course')}, the rival's {words('source')}"


def _seconds(norms: dict[str, Any], target: float) -> dict[str, list[float | None]]:
    ways = ("race", "course", "source")
    return {way: [targets.seconds_to(m, way, target) for m in norms.values()] for way in ways}


def _sooner(found: dict[str, list[float | None]]) -> list[float | None]:
    """The rival's time over the shorter one of ours, a norm each."""
    return [
        rival / min(filter(None, ours)) if rival and any(ours) else None
        for rival, *ours in zip(found["source"], found["race"], found["course"], strict=True)
    ]


def _number(value: float | None, form: str) -> str:
    return "never" if value is None else format(value, form)


def _line(name: str, values: Sequence[str]) -> str:
    return (f"{name:<34}" + "".join(f"{value:>12}" for value in values)).rstrip()


def _profile_lines(title: str, operators: list[dict[str, Any]], top: int = 8) -> list[str]:
    whole = math.fsum(row["ms"] for row in operators)
    lines = [f"{title}: {whole:.1f} ms a step", f"{'operator':<50}{'calls':>8}{'ms':>9}{'%':>7}"]
    return lines + [
        f"{r['operator'][:48]:<50}{r['calls']:>8.0f}{r['ms']:>9.2f}{100 * r['ms'] / whole:>7.1f}"
        for r in operators[:top]
    ]


def best(speeds: dict[str, list[float]], names: Sequence[str]) -> str:
    """Which of ``names`` has the highest median."""
    return max(names, key=lambda name: statistics.median(speeds[name]))


def ratio(speeds: dict[str, list[float]], one: str, other: str) -> float:
    """How many times faster ``one`` is than ``other``: the median of the rounds' ratios."""
    pairs = zip(speeds[one], speeds[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def check_benchmark_folder(folder: Path, name: str = "benchmark") -> None:
    """Raise ``ValueError`` or ``OSError`` if ``save_benchmark`` must not, or cannot, write there.

    To be asked before anything is measured: no file but an earlier one of that ``name``,
    ``benchmark`` or ``targets``, is replaced.
    """

    def read(path: Path) -> None:
        measured = path.with_suffix(".json")
        found = json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else None
        if not isinstance(found, dict) or {"benchmark": "norms"}.get(name, name) not in found:
            raise ValueError(f"{measured} holds no benchmark.")

    for file in (f"{name}.json", f"{name}.txt"):
        check_target(folder / file, read)


def save_benchmark(results: dict[str, Any], folder: Path) -> Path:
    """Write what was measured, and the report on it, into ``folder``; returns the JSON file."""
    name, text = "benchmark", report
    if "targets" in results:
        name, text = "targets", targets_report
    write_atomically(folder / f"{name}.txt", text(results) + "\n")
    return write_atomically(folder / f"{name}.json", json.dumps(results, indent=1) + "\n")
