"""A study's results: one file, a line a run, always sorted and never half there.

The first line says what was run on what; each line after it is a run: its condition, its seed,
what was measured and the seconds it took. Lines are sorted by seed and by the order in which the
study declares its conditions, so that the file does not tell how often it was interrupted or which
run ended first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from common.experiments.laboratory.declare import Study, Values, label
from common.files import write_atomically


@dataclass(frozen=True)
class Line:
    """One run that is done; ``condition`` is its label."""

    condition: str
    seed: int
    values: Values
    seconds: float


@dataclass
class Kept:
    """The runs of a study that are there.

    Attributes:
        images: what data set they were made on: title, training and test images.
        versions: software and processors that took part.
        lines: the runs, sorted.
    """

    study: Study
    images: str = ""
    versions: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def done(self) -> set[tuple[str, int]]:
        """Label and seed of every run that is there."""
        return {(line.condition, line.seed) for line in self.lines}

    def find(self, condition: str, seed: int) -> Line | None:
        """The run of this label and seed, if it is there."""
        same = (x for x in self.lines if (x.condition, x.seed) == (condition, seed))
        return next(same, None)

    def complete_seeds(self) -> list[int]:
        """The seeds with which every condition has been run."""
        wanted = {label(condition) for condition in self.study.conditions}
        seeds = sorted({line.seed for line in self.lines})
        return [s for s in seeds if wanted <= {x.condition for x in self.lines if x.seed == s}]

    def add(self, line: Line) -> None:
        """Put a run in the place where the study's order has it, over an earlier one."""
        order = {label(condition): i for i, condition in enumerate(self.study.conditions)}
        others = [x for x in self.lines if (x.condition, x.seed) != (line.condition, line.seed)]
        self.lines = sorted([*others, line], key=lambda x: (x.seed, order[x.condition]))

    def text(self) -> str:
        """The file's content."""
        head = {
            "study": self.study.name,
            "setting": dict(self.study.setting),
            "rule": [
                f"{c.claim}: {c.words} > {c.smallest:g} {c.unit}" for c in self.study.contrasts
            ],
            "images": self.images,
            "versions": self.versions,
        }
        lines = [head, *(vars(line) for line in self.lines)]
        return "".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n"
                       for x in lines)  # fmt: skip


def load(study: Study, path: Path) -> Kept:
    """What a file holds; nothing if there is none.

    Runs of conditions that the study no longer has are left out. Raises ``ValueError`` for a file
    of another study or setting, or for no such file at all.
    """
    if not path.exists():
        return Kept(study)
    try:
        head, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        kept = Kept(study, head["images"], list(head["versions"]))
        lines = [Line(**values) for values in rest]
        if not all(isinstance(x.seed, int) and isinstance(x.values, dict) for x in lines):
            raise TypeError("a run without a seed, or without values")
        there = head["study"], head["setting"]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no results of a study ({error}); delete it.") from error
    here = study.name, json.loads(json.dumps(dict(study.setting)))
    if there != here:
        raise ValueError(
            f"{path} was made with another setting (there: {there}; here: {here}). Delete it to "
            "run the study again, or name another folder: --out"
        )
    known = {label(condition) for condition in study.conditions}
    kept.lines = [line for line in lines if line.condition in known]
    return kept


def keep(study: Study, path: Path, line: Line, images: str, version: str) -> Kept:
    """Add one run to the file, whoever else is adding to it; returns what it holds then.

    Raises ``ValueError`` as ``load`` does, and if the file is of other images.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        kept = load(study, path)
        check_images(kept, path, images)
        kept.images, kept.versions = images, sorted({*kept.versions, version})
        kept.add(line)
        write_atomically(path, kept.text())
    return kept


def check_images(kept: Kept, path: Path, images: str) -> None:
    """Raise ``ValueError`` if a file's runs were made on other images."""
    if kept.lines and kept.images != images:
        raise ValueError(
            f"{path} holds runs on other images ({kept.images}; here: {images}). Name another "
            "folder (--out), or delete the file."
        )


def compact(values: Values) -> Values:
    """Measured values with six significant digits: a file of plain numbers, and not a long one."""

    def short(value: Any) -> Any:
        if isinstance(value, Iterable) and not isinstance(value, str):
            return [short(item) for item in value]
        return float(f"{float(value):.6g}") if not isinstance(value, int | str) else value

    return {name: short(value) for name, value in values.items()}
