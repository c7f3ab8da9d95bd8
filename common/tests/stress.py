"""Break the course on purpose, many times, and count what went silently wrong.

    python -m common.tests.stress --commands 1000 --kills 60 --folders 60

Not a part of the test suite: it takes minutes. Everything is written to one temporary folder. It
prints, for each kind, how many cases were tried, how many ended with a traceback, how many went
through without a word although something was wrong with them, and how many lost or changed a file
that was not theirs; the exit status is 1 if there was any. ``--seed`` gives the same cases again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from common import cli
from common.data import Batches, ImageData, images, load_images
from common.experiments import benchmark, course
from common.networks import build
from common.training import History, Recipe, evaluate, fit
from common.visualisation import LABELS

FAILURES = ("traceback", "silent", "lost")


class Tally:
    """Counts cases and failures; keeps a line on each failure."""

    def __init__(self, name: str) -> None:
        self.name, self.counts, self.lines = name, Counter(), []

    def add(self, outcome: str, line: str = "") -> None:
        """One case more; ``outcome`` is ``fine`` or one of ``FAILURES``."""
        self.counts[outcome] += 1
        if outcome != "fine":
            self.lines.append(f"  {outcome}: {line}")

    def report(self) -> bool:
        """Print the figures; whether all went well."""
        bad = ", ".join(f"{self.counts[kind]} {kind}" for kind in FAILURES)
        print(f"{self.name}: {self.counts.total()} cases, {bad}", *self.lines, sep="\n", flush=True)
        return not self.lines


def attempt(action: Callable[[], object]) -> tuple[object, str]:
    """What ``action`` returned, or the last line of the traceback it would have shown."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return action(), ""
        except SystemExit as end:  # argparse's own refusals
            return end.code, ""
        except Exception:
            return None, traceback.format_exc().strip().splitlines()[-1]


# ---- command lines ---------------------------------------------------------------------------


class Lines:
    """Random command lines, each with whether something is wrong with it."""

    def __init__(self, rng: random.Random, place: Path) -> None:
        self.rng, self.place, self.number = rng, place, 0
        (place / "taken").write_text("somebody's")
        (place / "thesis.docx").write_bytes(b"years of work")
        (place / "log.csv").write_text("a,b\n1,2\n")
        (place / "link.json").symlink_to(place / "thesis.docx")
        self.theirs = {p: (p.lstat().st_ino, p.read_bytes()) for p in place.iterdir()}

    def intact(self) -> bool:
        """Whether what was there before still is."""
        return all(
            p.exists() and (p.lstat().st_ino, p.read_bytes()) == was
            for p, was in self.theirs.items()
        )

    def one_of(self, good: list[str], bad: list[str]) -> tuple[list[str], bool]:
        """A value, now and then a bad one, and whether it is bad."""
        wrong = self.rng.random() < 0.25
        return [self.rng.choice(bad if wrong else good)], wrong

    def options(self) -> dict[str, tuple[list[str], list[str]]]:
        """Good and bad values of every option."""
        self.number += 1
        place, number = self.place, self.number
        norms = [norm for norm in LABELS if norm != "none"]
        nonsense = ["", "x", "²", "nan", "--", "1e999", "🦆", "../..", "\x00"]
        files = [f"{place}/thesis.docx", f"{place}/link.json", str(place), os.devnull]
        return {
            "--norm": (norms, ["batches", "Batch ", "instance", ""]),
            "--norms": (norms, ["batches", "instance", ""]),
            "--network": (["course"], ["resnet-1000", "", "Course"]),
            "--data": (["shapes", "cifar10"], ["nowhere", "", f"{place}/taken", "~nosuchuser/x"]),
            "--device": (["cpu"], ["tpu", "cuda:99", "cpu:7"]),
            "--epochs": (["1"], ["0", "-1", "1.5", *nonsense]),
            "--batch-size": (["16", "32"], ["0", "-3", *nonsense]),
            "--learning-rate": (["0.02", "1e-3"], ["0", "-1", "inf", "nan", "x"]),
            "--seed": (["1", "7"], ["-1", str(2**64), "1.5", *nonsense]),
            "--seeds": (["1", "3"], ["-1", str(2**70), "x"]),
            "--jobs": (["1"], ["x", "1.5"]),
            "--together": (["1"], ["0", "-1", "x"]),
            "--out file": ([f"{place}/out/{number}.json"], [*files, f"{place}/taken/x.json"]),
            "--out folder": ([f"{place}/out/{number}"], [f"{place}/taken", f"{place}/taken/x"]),
            "--log": ([f"{place}/out/{number}.csv"], [*files, f"{place}/log.csv"]),
            "--weights": ([], [*files, "nowhere.safetensors"]),
            "--size": (["32", "48"], ["0", "15", "-1", "20000", "x"]),
            "--candidates": (["course"], ["nobody", ""]),
            "--learning-rates": (["0.02"], ["0", "x", "-1"]),
            "--optimiser": (["muon", "sgd"], ["adam2", ""]),
            "--train-images": (["40"], ["0", "-1", "x"]),
            "--batches": (["1"], ["0", "-1", "x"]),
        }

    COMMANDS = {  # noqa: RUF012 - a table
        "compare": "--norms --network --data --device --epochs --batch-size --seeds",
        "train": "--norm --network --data --device --epochs --learning-rate --seed",
        "search": "--norms --data --candidates --learning-rates --optimiser --train-images",
        "evaluate": "--norm --network --device --weights",
        "benchmark": "--norms --network --data --batches",
        "accuracy": "--norms --seeds --data --together",
        "summary": "--norm --network --size",
    }
    WRITES = {  # noqa: RUF012 - a table
        "compare": ["--out folder", "--jobs 1"],
        "train": ["--out file"],
        "search": ["--out folder", "--log"],
        "benchmark": ["--out folder"],
        "accuracy": ["--out folder"],
    }

    def next(self) -> tuple[list[str], bool]:
        """A command line and whether it has to be refused."""
        command = self.rng.choice(list(self.COMMANDS))
        named = self.COMMANDS[command].split()
        chosen = self.rng.sample(named, self.rng.randrange(min(4, len(named)) + 1))
        values, line, wrong = self.options(), [command], False
        if command != "summary":
            line.append("--quick")
        for name in [*chosen, *self.WRITES.get(command, [])]:
            option, _, _ = name.partition(" ")
            if name == "--jobs 1":
                line += ["--jobs", "1"]
                continue
            good, bad = values[name]
            value, is_wrong = self.one_of(good or bad, bad)
            line += [option, *value]
            wrong = wrong or is_wrong or not good
        if command in ("compare", "search", "accuracy") and "--norms" not in line:
            line += ["--norms", "batch"]
        return line, wrong


def commands(tally: Tally, number: int, rng: random.Random, place: Path) -> None:
    """Random command lines, in this process."""
    lines = Lines(rng, place)
    for _ in range(number):
        line, wrong = lines.next()
        status, error = attempt(lambda line=line: cli.main(line))
        if error:
            tally.add("traceback", f"{line}: {error}")
        elif not lines.intact():
            tally.add("lost", str(line))
            break
        elif wrong != (status not in (0, 1)) and (line[0] != "benchmark" or status != 2):
            tally.add("silent" if wrong else "traceback", f"{line}: status {status}")
        else:
            tally.add("fine")


# ---- misuses of the functions ----------------------------------------------------------------


def misuse(tally: Tally, number: int, rng: random.Random, place: Path) -> None:
    """Calls with one thing wrong; each has to raise ``ValueError`` or ``OSError``."""
    data = load_images("shapes")
    model, once = build("course", "batch"), Recipe(epochs=1)
    nothing = replace(data.test, images=data.test.images[:0], labels=data.test.labels[:0])

    def spoilt() -> object:
        name = rng.choice(["train", "test"])
        part = getattr(data, name)
        some = rng.randrange(1, len(part))
        labels = part.labels.clone()
        labels[rng.randrange(len(labels))] = rng.choice([-100, -1, 10, 255, 2**40])
        change = rng.choice(
            [
                {"images": part.images.float() / rng.choice([1, 255])},
                {"images": part.images[:, :1]},
                {"images": part.images[:some]},
                {"images": part.images[0]},
                {"images": part.images[:0], "labels": part.labels[:0]},
                {"labels": part.labels[:some]},
                {"labels": part.labels.float()},
                {"labels": labels},
                {"images": part.images[..., 8:]},
            ]
        )
        return replace(data, **{name: replace(part, **change)})

    def recipe() -> Recipe:
        field = rng.choice(["learning_rate", "epochs", "batch_size", "warmup", "momentum", "seed"])
        return Recipe(**{field: rng.choice([-1, -(2**70), float("nan"), -0.5])})

    def history() -> History:
        path = place / "history.json"
        text = rng.choice(["", "null", "[]", "{}", '{"recipe": {}}', "\x00", '{"epochs": null}'])
        path.write_text(text)
        return History.load(path)

    calls = [
        lambda: fit(model, spoilt(), once, progress="none"),
        recipe,
        history,
        lambda: build(rng.choice(["", "x", "COURSE"]), "batch"),
        lambda: build("course", rng.choice(["", "Batch", "x"])),
        lambda: build("course", "batch", classes=rng.choice([-1, 0, 1, 2.5, "3"])),
        lambda: build("course", "batch", image_size=rng.choice([-1, 0, 15, 31.5, "32"])),
        lambda: load_images(rng.choice(["", "nowhere", "~nosuchuser", "\x00", str(place)])),
        lambda: evaluate(model, nothing, data),
        lambda: Batches(data.train, data.mean, data.std, batch_size=rng.choice([0, -1, 10**6])),
        lambda: fit(build("course", classes=rng.randrange(2, 10)), data, once, progress="none"),
        lambda: fit(torch.nn.Sequential(model, torch.nn.Softmax(1)), data, progress="none"),
        lambda: fit(model, data, progress=rng.choice(["", "bars"])),
    ]
    for _ in range(number):
        call = rng.choice(calls)
        result, error = attempt(call)
        if not error:
            tally.add("silent", f"call {calls.index(call)}: {result!r:.80}")
        elif not error.startswith(("ValueError", "OSError", "FileNotFoundError")):
            tally.add("traceback", f"call {calls.index(call)}: {error:.200}")
        else:
            tally.add("fine")


# ---- folders of pictures ---------------------------------------------------------------------


def gradient(kind: type, top: float) -> Image.Image:
    """20 × 20 values from 0 to ``top``."""
    return Image.fromarray((np.linspace(0, 1, 400).reshape(20, 20) * top).astype(kind))


def move_in(directory: Path) -> None:
    """Put a class one folder deeper."""
    directory.rename(directory.with_name("moved"))
    directory.mkdir()
    directory.with_name("moved").rename(directory / "inner")


def oddities() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    """Name; ``read``, ``refused`` or a word that has to be said; what is done to one picture."""
    deep = [
        *((np.uint16, top, end) for top in (255, 1023, 4095, 65535) for end in ("png", "tif")),
        *((np.int32, top, "tif") for top in (255, 4095, 65535)),
        *((np.float32, top, "tif") for top in (1.0, 255.0, 65535.0)),
    ]
    for kind, top, end in deep:

        def save(p: Path, kind: type = kind, top: float = top, end: str = end) -> None:
            gradient(kind, top).save(p.with_name(f"x.{end}"))

        yield f"{kind.__name__} to {top:g} as {end}", "read", save
    formats = {"jfif": "jpeg", "jp2": "jpeg2000", "tif": "tiff", "jpg": "jpeg"}
    for end in [
        "png",
        "jpg",
        "jfif",
        "bmp",
        "gif",
        "webp",
        "tif",
        "ppm",
        "tga",
        "jp2",
        "pcx",
        "dib",
    ]:

        def save(p: Path, end: str = end) -> None:
            image = gradient(np.uint8, 255).convert("RGB")
            image.save(p.with_name(f"x.{end}"), formats.get(end, end))

        yield end, "read", save
    odd = Image.fromarray
    yield "cut", "refused", lambda p: p.write_bytes(p.read_bytes()[:60])
    yield "empty", "refused", lambda p: p.write_bytes(b"")
    yield "text", "refused", lambda p: p.write_text("no picture")
    yield "small", "refused", lambda p: Image.new("RGB", (9, 30)).save(p)
    yield "no number", "refused", lambda p: odd(np.full((20, 20), np.nan, "f4")).save(p, "TIFF")
    yield "negative", "refused", lambda p: odd(np.full((20, 20), -9, "i4")).save(p, "TIFF")
    yield "no scale", "refused", lambda p: odd(np.full((20, 20), 3, "f4")).save(p, "TIFF")
    yield "no pictures", "refused", lambda p: shutil.rmtree(p.parent) or p.parent.mkdir()
    yield "no class", "refused", lambda p: shutil.rmtree(p.parent)
    yield "deeper class", "refused", lambda p: move_in(p.parent)
    yield "deeper half", "refused", lambda p: move_in(p.parents[1])
    yield "no UTF-8", "refused", lambda p: p.parent.rename(p.parents[1] / os.fsdecode(b"c\xe9"))
    yield "loose", "itself", lambda p: shutil.copy(p, p.parents[1])
    yield "nested", "too deep", lambda p: shutil.copytree(p.parent, p.parent / "more")
    yield "unread", "1 .heic", lambda p: p.with_suffix(".heic").touch()
    yield "larger", "cropped", lambda p: Image.new("RGB", (60, 30), "white").save(p)
    pages = {"save_all": True, "append_images": [gradient(np.uint8, 254)]}
    yield "pages", "several", lambda p: gradient(np.uint8, 255).save(p.with_suffix(".gif"), **pages)
    yield "counts", "a 3/2", lambda p: (p.parents[2] / "test" / "a" / "2.png").unlink()


def folders(tally: Tally, number: int, rng: random.Random, place: Path) -> None:
    """Folders with one odd thing each: it is read as it is meant, told of, or refused."""
    kinds = list(oddities())
    for case in range(number):
        name, expected, spoil = kinds[case % len(kinds)]
        root = place / f"folder{case}"
        for split, kind, i in itertools.product(("train", "test"), "ab", range(3)):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            gradient(np.uint8, 255 - i).save(root / split / kind / f"{i}.png")
        spoil(root / rng.choice(["train", "test"]) / "a" / "0.png")
        said = io.StringIO()

        def load(root: Path = root, said: io.StringIO = said) -> ImageData:
            with contextlib.redirect_stderr(said):
                return load_images(root)

        data, error = attempt(load)
        if error and not (error.startswith("ValueError") and expected == "refused"):
            tally.add("traceback", f"{name}: {error}")
        elif expected == "read":
            every = torch.cat([data.train.images, data.test.images])
            bright = (every.amax((1, 2, 3)) > 240).all() and (every.amin((1, 2, 3)) < 15).all()
            tally.add("fine" if len(every) == 13 and bright else "silent", name)
        else:
            well = error if expected == "refused" else expected in said.getvalue()
            tally.add("fine" if well else "silent", f"{name}: {said.getvalue()}")


# ---- kills -----------------------------------------------------------------------------------


def kills(tally: Tally, number: int, rng: random.Random, place: Path) -> None:
    """A comparison killed at any moment, again and again; its end is that of one left alone."""
    command = [sys.executable, "-m", "common", "compare", "--quick", "--norms", "batch", "layer"]
    environment = os.environ | {"NORMS_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def start(out: Path, jobs: int) -> subprocess.Popen:
        line = [*command, "--jobs", str(jobs), "--out", str(out)]
        pipe = subprocess.PIPE
        return subprocess.Popen(line, stdout=pipe, stderr=pipe, env=environment, text=True)

    def results(out: Path) -> list:
        found = [History.load(path) for path in sorted(out.glob("*.json"))]
        return [(run.norm, run.column("test_accuracy")) for run in found]

    alone = place / "alone"
    started = time.monotonic()
    if start(alone, 1).communicate() and not results(alone):
        tally.add("lost", "the comparison left alone gave nothing")
        return
    needed, round_number = time.monotonic() - started, 0
    while tally.counts.total() < number:
        round_number += 1
        out, jobs = place / f"round{round_number}", 1 + round_number % 2
        for _ in range(min(4, number - tally.counts.total())):
            process = start(out, jobs)
            time.sleep(rng.uniform(0.4, 1.0) * needed)
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            _, said = process.communicate()
            _, left = psutil.wait_procs(children, timeout=10)
            for child in left:
                child.kill()
            outcome = "traceback" if "Traceback" in said else "lost" if left else "fine"
            tally.add(outcome, f"{len(left)} processes left, {said[-300:]}")
        _, said = start(out, jobs).communicate()
        left_over = [path.name for path in out.glob(".*")]
        if results(out) != results(alone) or left_over or "Traceback" in said:
            tally.add("lost", f"{out}: {results(out)} {left_over} {said[-500:]}")


# ---- all of it -------------------------------------------------------------------------------


@contextlib.contextmanager
def bounded(place: Path) -> Iterator[None]:
    """Every output in ``place``, tiny images, and no benchmark (it would take minutes)."""

    def unmeasured(*_: object, **__: object) -> None:
        raise ValueError("not measured here")

    before = course.RUNS, images.QUICK_TRAIN, images.QUICK_TEST, benchmark.run
    course.RUNS, images.QUICK_TRAIN, images.QUICK_TEST = place / "runs", 80, 40
    benchmark.run = unmeasured
    os.environ |= {"NORMS_QUICK": "1", "NORMS_THREADS": "1", "NORMS_DATA": str(place / "data")}
    try:
        yield
    finally:
        course.RUNS, images.QUICK_TRAIN, images.QUICK_TEST, benchmark.run = before


def main() -> int:
    """Run what is asked for; the exit status is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {"commands": commands, "misuses": misuse, "folders": folders, "kills": kills}
    for name in kinds:
        parser.add_argument(f"--{name}", type=int, default=0, help="how many (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in kinds.items():
            place = Path(folder) / name
            place.mkdir()
            if number := getattr(options, name):
                tally = Tally(name)
                with bounded(place), contextlib.suppress(KeyboardInterrupt):  # what is done counts
                    os.environ["NORMS_QUICK"] = "0" if name == "folders" else "1"
                    kind(tally, number, random.Random(options.seed), place)
                well &= tally.report()
    return not well


if __name__ == "__main__":
    sys.exit(main())
