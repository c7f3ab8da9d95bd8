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
from typing import Any, NamedTuple

from common.experiments.laboratory.declare import Study, Values, label
from common.files import locked, write_atomically


@dataclass(frozen=True)
class Line:
    """One run that is done; ``condition`` is its label."""

    condition: str
    seed: int
    values: Values
    seconds: float


class Images(NamedTuple):
    """What the images of a study are told apart by.

    Attributes:
        words: title, number and size.
        fingerprint: ``ImageData.fingerprint``; empty in files older than it.
    """

    words: str = ""
    fingerprint: str = ""

    def others_than(self, there: Images) -> bool:
        """Whether they differ from those of a file, as far as that tells."""
        told = bool(there.fingerprint)
        return self.words != there.words or (told and self.fingerprint != there.fingerprint)


@dataclass
class Kept:
    """The runs of a study that are there.

    Attributes:
        images: what data set they were made on.
        versions: software and processors that took part.
        lines: the runs, sorted.
        others: runs of conditions that the study, as it is run here, does not have: of full size,
            seen from quick mode, or of an earlier version. They stay in the file.
    """

    study: Study
    images: Images = field(default_factory=Images)
    versions: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    others: list[Line] = field(default_factory=list)

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
            "images": self.images.words,
            "fingerprint": self.images.fingerprint,
            "versions": self.versions,
        }
        lines = [head, *(vars(line) for line in [*self.lines, *self.others])]
        return "".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n"
                       for x in lines)  # fmt: skip


def load(study: Study, path: Path) -> Kept:
    """What a file holds; nothing if there is none.

    Raises ``ValueError`` for a file of another study or setting, or for no such file at all.
    """
    if not path.exists():
        return Kept(study)
    try:
        head, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        images = Images(head["images"], head.get("fingerprint", ""))
        kept = Kept(study, images, list(head["versions"]))
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
    kept.others = [line for line in lines if line.condition not in known]
    return kept


def keep(study: Study, path: Path, line: Line, images: Images, version: str) -> Kept:
    """Add one run to the file, whoever else is adding to it; returns what it holds then.

    Raises ``ValueError`` as ``load`` does, and if the file is of other images.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), "is adding a run to the file"):
        kept = load(study, path)
        check_images(kept, path, images)
        kept.images, kept.versions = images, sorted({*kept.versions, version})
        kept.add(line)
        write_atomically(path, kept.text())
    return kept


def check_images(kept: Kept, path: Path, images: Images) -> None:
    """Raise ``ValueError`` if a file's runs were made on other images."""
    if (kept.lines or kept.others) and images.others_than(kept.images):
        raise ValueError(
            f"{path} holds runs on other images ({kept.images.words}; here: {images.words}). Name "
            "another folder (--out), or delete the file."
        )


def compact(values: Values) -> Values:
    """Measured values with six significant digits: a file of plain numbers, and not a long one."""

    def short(value: Any) -> Any:
        if isinstance(value, Iterable) and not isinstance(value, str):
            return [short(item) for item in value]
        return float(f"{float(value):.6g}") if not isinstance(value, int | str) else value

    return {name: short(value) for name, value in values.items()}
