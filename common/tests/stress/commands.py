"""Random command lines: every command and option, with good and bad values."""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path
from typing import NamedTuple

from common import cli
from common.experiments.laboratory import label
from common.tests.experiments.toy_study import TOY
from common.tests.stress.folders import make_folder
from common.tests.stress.tally import Screen, Tally, attempt, place_of

NORMS = ["batch", "group", "layer"]
NONSENSE = ["", "x", "²", "nan", "--", "1e999", "🦆", "../..", "\x00"]
STUDIES = (TOY.name, TOY.name, TOY.name, "rate")
FIRST = label(TOY.conditions[0])


class Values(NamedTuple):
    """What an option is given: values that must work, must be refused, and may be either."""

    good: tuple[str, ...]
    bad: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


class Command(NamedTuple):
    """How a command is tried: options that are named always, at times, and how often it comes."""

    often: int
    always: str
    at_times: str


# Where an option means different things, a word after a colon tells them apart.
COMMANDS = {
    "compare": Command(
        30,
        "--quick --norms --jobs --out:folder",
        "--network --data --device --epochs --batch-size --learning-rate --full --seeds --together",
    ),
    "train": Command(
        30,
        "--quick --out:file",
        "--norm --network --data --device --epochs --batch-size --learning-rate --seed",
    ),
    "accuracy": Command(
        20,
        "--quick --norms --jobs --out:folder",
        "--seeds --data --device --together --tuned --race",
    ),
    "benchmark": Command(
        3,
        "--quick --steps-only --norms --rounds --batches --out:folder",
        "--network --data --device --targets --profile --accelerated",
    ),
    "evaluate": Command(30, "--quick", "--norm --network --data:own --device --weights"),
    "search": Command(
        30,
        "--quick --norms --jobs --out:folder --candidates",
        "--data --device --seed --learning-rates --optimiser --epochs --train-images --log "
        "--change",
    ),
    "field": Command(
        10,
        "--quick --norms --jobs --out:folder --networks",
        "--recipes --seeds --jpeg --data --device --together",
    ),
    "study": Command(
        30,
        "NAME --quick --jobs --out:studies",
        "--list --show --again --seeds --dask --data:own --device",
    ),
    "mutants": Command(0, "", ""),  # no choices, and a minute: the test suite has it
    "tables": Command(1, "--check", ""),
    "notebooks": Command(1, "--check", ""),
    "figures": Command(1, "--out:figures", "--data:own"),
    "summary": Command(20, "", "--norm --network --size"),
}
ELSEWHERE = {"study": {"--all"}}  # too long here


def unknown() -> list[str]:
    """The commands and options that the command line has and ``COMMANDS`` does not, and reverse."""
    (commands,) = (
        action.choices
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    found = sorted(set(commands) ^ set(COMMANDS))
    for name in set(commands) & set(COMMANDS):
        there = {option for action in commands[name]._actions for option in action.option_strings}
        mine = {
            word.partition(":")[0]
            for word in f"{COMMANDS[name].always} {COMMANDS[name].at_times}".split()
        }
        wanted = mine - {"NAME"} | ELSEWHERE.get(name, set()) | {"-h", "--help"}
        found += sorted(f"{name} {option}" for option in there ^ wanted)
    return found


class Lines:
    """Random command lines, each with whether something is wrong with it."""

    def __init__(self, rng: random.Random, place: Path) -> None:
        self.rng, self.place, self.number = rng, place, 0
        (place / "taken").write_text("somebody's")
        (place / "thesis.docx").write_bytes(b"years of work")
        (place / "log.csv").write_text("a,b\n1,2\n")
        (place / "link.json").symlink_to(place / "thesis.docx")
        (place / "theirs").mkdir()
        for name in ("race.csv", "benchmark.json", "benchmark.txt", "search.csv", "rate.jsonl"):
            (place / "theirs" / name).write_text("somebody's")
        make_folder(place / "pets", train=40, test=10)
        self.own = place / "own.json"
        attempt(lambda: cli.main(["train", "--quick", "--data", "shapes", "--out", str(self.own)]))
        mine = (*place.iterdir(), *(place / "theirs").iterdir())
        self.theirs = {p: (p.lstat().st_ino, p.read_bytes()) for p in mine if p.is_file()}

    def intact(self) -> bool:
        """Whether what was there before still is."""
        return all(
            p.exists() and (p.lstat().st_ino, p.read_bytes()) == was
            for p, was in self.theirs.items()
        )

    def values(self, option: str) -> Values:
        """Good and bad values of an option; none for one that is only there or not."""
        place, number = self.place, self.number
        files = (f"{place}/thesis.docx", f"{place}/link.json", str(place), os.devnull)
        seeds = ("-1", str(2**64), "1.5", *NONSENSE)
        out, theirs = f"{place}/out/{number}", (f"{place}/theirs",)
        no_folder = (f"{place}/taken", f"{place}/taken/x", os.devnull)
        return {
            "NAME": Values(STUDIES, ("nobody", "", "🦆")),
            "--norm": Values(tuple(NORMS), ("batches", "Batch ", "instance", "")),
            "--network": Values(("course",), ("resnet-1000", "", "Course"), ("plain-18k",)),
            "--networks": Values(("plain-18k", "skip-48k"), ("course", "", "x")),
            "--recipes": Values(("course", "source"), ("x", "")),
            "--data": Values(
                ("shapes", "cifar10", f"{place}/pets"),
                ("nowhere", "", f"{place}/taken", "~nosuchuser/x", "\x00", str(place)),
            ),
            "--data:own": Values(("shapes", "cifar10"), ("nowhere", "", f"{place}/taken")),
            "--device": Values(("cpu",), ("tpu", "cuda:99", "cpu:7")),
            "--epochs": Values(("1", "2"), ("0", "-1", "1.5", *NONSENSE)),
            "--batch-size": Values(("16", "32"), ("0", "-3", *NONSENSE)),
            "--learning-rate": Values(("0.02", "1e-3", "1e20"), ("0", "-1", "inf", "nan", "x")),
            "--seed": Values(("1", "7"), seeds),
            "--seeds": Values(("1", "3", "7"), seeds),
            "--jobs": Values(("1",), ("0", "-1", "x", "1.5")),
            "--together": Values(("1", "2"), ("0", "-1", "x")),
            "--out:file": Values((f"{out}.json",), (*files, f"{place}/taken/x.json")),
            "--out:folder": Values((out,), no_folder, theirs),
            "--out:studies": Values((f"{place}/studies",), no_folder, theirs),
            "--out:figures": Values((out,), no_folder),
            "--log": Values((f"{out}.csv",), (*files, f"{place}/log.csv")),
            "--weights": Values(
                (str(self.own.with_suffix(".safetensors")),), (*files, "nowhere.safetensors")
            ),
            "--size": Values(("32", "48"), ("0", "15", "-1", "20000", "x")),
            "--candidates": Values(("course",), ("nobody", "")),
            "--learning-rates": Values(("0.02", "0.03"), ("0", "x", "-1", "nan")),
            "--optimiser": Values(("muon", "sgd"), ("adam2", "")),
            "--train-images": Values(("40",), ("0", "-1", "x")),
            "--change": Values(
                ("alternating=True", "average=0.9"),
                ("sizes=24y2", "sizes=24x0", "", "alternating", "batch_size=0", "epochs=2"),
                ("sizes=24x1",),
            ),
            "--batches": Values(("1",), ("0", "-1", "x")),
            "--rounds": Values(("1",), ("0", "-1", "x")),
            "--jpeg": Values(("50", "1"), ("0", "96", "-1", "x")),
            "--again": Values((), (), (f"{FIRST} 1", "nobody 1", f"{FIRST} ²", f"{FIRST} -1")),
            "--dask": Values((), ("nonsense", "tcp://", "x://y:1")),
        }.get(option.replace("--norms", "--norm"), Values(()))

    SEVERAL = ("NAME", "--norms", "--seeds", "--networks", "--recipes", "--learning-rates")

    def next(self) -> tuple[list[str], bool | None]:
        """A command line and whether it has to be refused; None where it may be."""
        rng, self.number = self.rng, self.number + 1
        (name,) = rng.choices(list(COMMANDS), [command.often for command in COMMANDS.values()])
        at_times = COMMANDS[name].at_times.split()
        chosen = rng.sample(at_times, rng.randrange(min(4, len(at_times)) + 1))
        line, wrong, unsure = [name], False, False
        for word in [*COMMANDS[name].always.split(), *chosen]:
            option, values = word.partition(":")[0], self.values(word)
            line += [option] if word != "NAME" else []
            if not any(values):
                continue
            share = rng.random()
            kind = values.bad if share < 0.15 else values.either if share < 0.2 else values.good
            kind = kind or values.good or values.either or values.bad
            few = 1 + (option in self.SEVERAL and rng.random() < 0.3)
            given = [text for value in rng.choices(kind, k=few) for text in value.split(" ")]
            line += given if option == "--again" else rng.choices(kind, k=few)
            wrong = wrong or kind is values.bad
            unsure = unsure or kind is values.either or few > 1
        unsure = unsure or name == "field" or not {"--list", "--weights"}.isdisjoint(line)
        # What the shipped weights tell apart are not the stand-in's shapes.
        unsure = unsure or (name == "evaluate" and "--data" in line)
        return line, None if unsure else wrong


def commands(tally: Tally, rng: random.Random, place: Path) -> None:
    """Random command lines, in this process."""
    lines = Lines(rng, place)
    while tally.left:
        line, wrong = lines.next()
        said = Screen(terminal=rng.random() < 0.5)  # in which bars move, or a log
        status, error = attempt(lambda line=line: cli.main(line), said)
        if isinstance(error, SystemExit):  # argparse's own refusals
            status, error = error.code, None
        if error:
            tally.add("traceback", f"{line}: {place_of(error)}")
        elif not lines.intact():
            tally.add("lost", str(line))
            break
        elif status not in (0, 1, 2):
            tally.add("traceback", f"{line}: status {status}")
        elif status == 2 and not said.getvalue().strip():
            tally.add("silent", f"{line}: refused without a word")
        elif wrong is not None and wrong != (status == 2):
            words = said.getvalue().strip()[-300:]
            tally.add("silent" if wrong else "traceback", f"{line}: status {status}, {words}")
        else:
            tally.add("fine")
