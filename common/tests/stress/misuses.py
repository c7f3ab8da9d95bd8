"""Calls of the public functions with one thing wrong; each has to say so."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common import exercises
from common.data import Batches, ImageData, compress, first_images, hold_out, load_images
from common.exercises import learner
from common.experiments import (
    compare_means,
    laboratory,
    load_histories,
    load_weights,
    median_run,
    run_all,
    summarise,
)
from common.experiments.laboratory.kept import Images, keep
from common.experiments.runs import Run
from common.files import write_atomically
from common.networks import build, summary
from common.tests.experiments.toy_study import TOY
from common.tests.stress.tally import Tally, attempt, place_of
from common.training import (
    History,
    Inside,
    Recipe,
    evaluate,
    fit,
    fit_together,
    grad_cam,
    predict,
    reliability,
    take_turns,
)
from common.visualisation import save


class Frozen(nn.Module):
    """A network of which a layer, or everything, does not learn."""

    def __init__(self, everything: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)
        self.first.requires_grad_(False)
        self.last.requires_grad_(not everything)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).mean((2, 3)))


class Nothing(nn.Module):
    """A network without parameters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10]


class Unused(nn.Module):
    """A network with a layer that no answer depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.aside, self.never = (
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(3, 4, 3),
        )
        self.last = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.aside(x)
        return self.last(self.used(x).mean((2, 3)))


class Calls:
    """The calls by name; each draws what is wrong anew."""

    def __init__(self, rng: random.Random, place: Path) -> None:
        self.rng, self.place = rng, place
        self.data = load_images("shapes")
        self.model, self.once = build("course", "batch"), Recipe(epochs=1)

    def spoilt(self) -> ImageData:
        """A data set with one half that no network can be trained on."""
        rng, data = self.rng, self.data
        name = rng.choice(["train", "test"])
        return replace(data, **{name: self.spoilt_part(getattr(data, name))})

    def spoilt_part(self, part: Any) -> Any:
        """Images and labels with something wrong, except in their size."""
        rng, some = self.rng, self.rng.randrange(2, len(part))
        labels = part.labels.clone()
        labels[rng.randrange(len(labels))] = rng.choice([-100, -1, 10, 255, 2**40])
        changes = [
            {"images": part.images.float() / rng.choice([1, 255])},
            {"images": part.images[:, :1]},
            {"images": part.images[:some]},
            {"images": part.images[0]},
            {"images": part.images[:0], "labels": part.labels[:0]},
            {"labels": part.labels[:some]},
            {"labels": part.labels.float()},
            {"labels": labels},
        ]
        return replace(part, **rng.choice(changes))

    def recipe(self) -> Recipe:
        rng = self.rng
        field = rng.choice(["learning_rate", "epochs", "batch_size", "warmup", "momentum", "seed"])
        return Recipe(**{field: rng.choice([-1, -(2**70), float("nan"), -0.5])})

    def history(self) -> History:
        path = self.place / "history.json"
        path.write_text(
            self.rng.choice(["", "null", "[]", "{}", '{"recipe": {}}', "\x00", '{"epochs": null}'])
        )
        return History.load(path)

    def turns(self) -> object:
        rng, data, one = self.rng, self.data, self.model
        other, wide = build("skip-48k", "batch"), build("course", classes=7)
        models, more = rng.choice(
            [
                ({}, {}),
                ({"batch": one, "layer": other}, {}),
                ({"batch": wide}, {}),
                ({"batch": one}, {"progress": "bars"}),
                ({"batch": one}, {"device": "tpu"}),
                ({"batch": nn.Sequential(one, nn.Softmax(1))}, {}),
                ({"batch": nn.Flatten()}, {}),
                ({"batch": Frozen(everything=True)}, {}),
            ]
        )
        return take_turns(models, data, self.once, **more)

    def inside(self) -> object:
        layers, every = self.rng.choice(
            [
                ([], 1),
                ([nn.Conv2d(3, 3, 1)], 1),
                ([self.model, nn.ReLU()], 1),
                (nn.Conv2d(3, 3, 1), 1),
                (self.model.stem if hasattr(self.model, "stem") else nn.ReLU(), 0),
                ([self.model], 0),
                ([self.model], -1),
                ([self.model], 1.5),
                ([self.model], "3"),
                (None, 1),
            ]
        )
        with Inside(self.model, layers, every=every) as seen:
            return seen

    def cam(self) -> object:
        net, data = Unused(), self.data
        layer, images, classes = net.used, data.test.images[:6], data.test.labels[:6]
        changes = [
            (net.never, images, classes),
            (net.aside, images, classes),
            (nn.Conv2d(3, 3, 1), images, classes),
            (net.last, images, classes),
            (layer, images, classes[:3]),
            (layer, images[:3], classes),
            (layer, images, classes + 10),
            (layer, images, classes - 10),
            (layer, images, classes.float()),
            (layer, images.float(), classes),
            (layer, images[0], classes[:1]),
            (layer, images[:, :1], classes),
            (layer, images[:0], classes[:0]),
        ]
        chosen = self.rng.choice(changes)
        return grad_cam(net, chosen[0], chosen[1], data, chosen[2])

    def calibration(self) -> object:
        logits, labels = torch.randn(20, 10), torch.arange(20) % 10
        chosen = self.rng.choice(
            [
                (logits, labels[:0]),
                (logits[:0], labels[:0]),
                (logits, labels[:1]),
                (logits[:5], labels),
                (logits[0], labels),
                (logits.softmax(1), labels),
                (logits * torch.nan, labels),
                (logits, labels + 10),
                (logits, labels, 0),
                (logits, labels, -1),
                (logits, labels, 2.5),
            ]
        )
        return reliability(*chosen)

    def tested(self) -> object:
        data, rng = self.data, self.rng
        model = rng.choice(
            [build("course", classes=7), nn.Flatten(), nn.Sequential(self.model, nn.Flatten(0))]
        )
        return rng.choice(
            [
                lambda: evaluate(self.model, self.spoilt_part(data.test), data),
                lambda: evaluate(model, data.test, data),
                lambda: evaluate(self.model, data.test, data, device="tpu"),
                lambda: predict(self.model, data.test, data, device="tpu"),
            ]
        )()

    def batches(self) -> object:
        data, rng = self.data, self.rng
        part, options = rng.choice(
            [
                (data.train, {"batch_size": rng.choice([0, -1, 10**6, 2.5])}),
                (data.train, {"batch_size": 8, "shift": rng.choice([-1, 32, 99, 1.5])}),
                (replace(data.train, images=data.train.images.float()), {"batch_size": 2}),
                (replace(data.train, images=data.train.images[:, :1]), {"batch_size": 2}),
                (replace(data.train, images=data.train.images[:9]), {"batch_size": 2}),
                (replace(data.train, labels=data.train.labels.float()), {"batch_size": 2}),
            ]
        )
        made = Batches(part, data.mean, data.std, **options)
        return list(made.epoch(torch.Generator()))

    def together(self) -> object:
        one, two = build("course", "batch"), build("course", "layer")
        recipe, rng = self.once, self.rng
        models, recipes, more = rng.choice(
            [
                ([], [], {}),
                ([one], [], {}),
                ([one, two], [recipe, replace(recipe, seed=2)], {}),
                ([one, one], [recipe, replace(recipe, epochs=2)], {}),
                ([one], [replace(recipe, schedule="plateau")], {}),
                ([one], [recipe], {"progress": "bar"}),
                ([build("course", classes=4)], [recipe], {}),
            ]
        )
        return fit_together(models, self.data, recipes, **more)

    def study(self) -> object:
        """A study's functions with wrong seeds, folders, names, files."""
        rng, place = self.rng, self.place
        (place / "taken").write_text("somebody's")
        path = write_atomically(place / "bad" / "toy.jsonl", rng.choice(BAD_RESULTS))
        run = laboratory.run_studies
        said: dict[str, Any] = {"data": "shapes", "say": lambda _: None}
        cases = [
            lambda: run(
                [TOY], place / "s1", seeds=[rng.choice([-1, 2**63, 2**70, 1.5, "1"])], **said
            ),
            lambda: run([TOY], place / "taken", **said),
            lambda: run([TOY], place / "taken" / "x", **said),
            lambda: run([TOY], place / "s2", jobs=rng.choice([0, -1]), **said),
            lambda: run([TOY], place / "s2", device="tpu", **said),
            lambda: run([TOY], place / "s2", **said | {"data": "nowhere"}),
            lambda: run([TOY], place / "s2", dask="nonsense", **said),
            lambda: run([TOY], path.parent, **said),
            lambda: laboratory.load(TOY, path),
            lambda: laboratory.load(replace(TOY, setting={"recipe": "another"}), self.done()),
            lambda: laboratory.again(TOY, self.done().parent, "nobody", 1, data="shapes"),
            lambda: laboratory.again(TOY, self.done().parent, "batch/size=1", 99, data="shapes"),
            lambda: laboratory.find_studies([rng.choice(["", "x", "RATE"])]),
            lambda: keep(
                TOY, self.done(), laboratory.Line("batch/size=1", 1, {}, 0.0), Images("others"), ""
            ),
        ]
        return rng.choice(cases)()

    def done(self) -> Path:
        """A file with all runs of the toy study."""
        folder = self.place / "done"
        laboratory.run_studies([TOY], folder, data="shapes", say=lambda _: None)
        return folder / "toy.jsonl"

    def parts(self) -> object:
        rng, data, folder = self.rng, self.data, self.place / "x"
        run = Run("course", "batch", self.once, data="shapes")
        shape = rng.choice([(3, 32), (3, 0, 32), (3, 9999, 32), (3, 32.0, 32)])
        return rng.choice(
            [
                lambda: hold_out(data, rng.choice([0, -1, len(data.train), 10**9])),
                lambda: first_images(data, rng.choice([0, -1])),
                lambda: compress(data, rng.choice([0, 96, -1, 1.5])),
                lambda: summary(self.model, shape),
                lambda: summary(nn.Conv2d(3, 3, 1)),
                lambda: median_run([]),
                lambda: summarise([]),
                lambda: compare_means(*rng.choice([([], [1.0]), ([1.0], [])])),
                lambda: load_histories(self.place / "empty"),
                lambda: load_weights(self.place / "nothing.safetensors"),
                lambda: save(None, self.place / "figure.gif"),
                lambda: run_all([], folder, jobs=rng.choice([0, -1])),
                lambda: run_all([run], folder, together=0),
                lambda: run_all([run] * 2, folder),
            ]
        )()

    def networks(self) -> object:
        rng = self.rng
        network = rng.choice(["course", "plain-18k", "skip-48k", "wide-31k"])
        wrong = rng.choice(
            [
                {"classes": rng.choice([-1, 0, 1, 2.5, "3", None])},
                {"image_size": rng.choice([-1, 0, 15, 31.5, "32", None])},
                {"groups": rng.choice([0, -1, 7, 1.5, "2", 1000]), "norm": "group"},
                {"norm": rng.choice(["", "Batch", "x", 3])},
                {"network": rng.choice(["", "x", "COURSE"])},
            ]
        )
        return build(**{"network": network, **wrong})

    def training(self) -> object:
        rng, data, model, once = self.rng, self.data, self.model, self.once
        cases = [
            lambda: fit(model, self.spoilt(), once, progress="none"),
            lambda: fit(build("course", classes=rng.randrange(2, 10)), data, once, progress="none"),
            lambda: fit(nn.Sequential(model, nn.Softmax(1)), data, progress="none"),
            lambda: fit(model, data, progress=rng.choice(["", "bars"])),
            lambda: fit(Frozen(everything=True), data, once, progress="none"),
            lambda: fit(Nothing(), data, once, progress="none"),
            lambda: fit(model, data, once, device="tpu", progress="none"),
            lambda: fit(model, data, once, threads=-1, progress="none"),
        ]
        return rng.choice(cases)()

    def images(self) -> object:
        return load_images(
            self.rng.choice(["", "nowhere", "~nosuchuser", "\x00", str(self.place), "x" * 5000])
        )


BAD_RESULTS = (
    "",
    "null",
    "[]\n[]",
    "{}\n",
    '{"study": "toy"}',
    '{"study":"toy","setting":{"recipe":"none"},"images":"","versions":null}',
    '{"study":"toy","setting":{"recipe":"none"},"images":"","versions":[]}\n{"condition":1}',
    '{"study":"toy","setting":{"recipe":"none"},"images":"","versions":[]}\n'
    '{"condition":"batch/size=1","seed":"x","values":null,"seconds":1}',
    '{"study":"other","setting":{},"images":"","versions":[]}',
    "\x00\x00",
)


# ---- answers to exercises --------------------------------------------------------------------


def _raise(error: type[BaseException]) -> None:
    raise error("because")


def _forever(*_: Any, **__: Any) -> None:
    while True:
        with suppress(Exception):
            sum(range(1000))


def _deeper(*given: Any, **more: Any) -> Any:
    return _deeper(*given, **more)


def _mutating(*given: Any, **_: Any) -> Any:
    for value in given:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value.data.mul_(0)
    return given[0] if given else None


def _settings(*given: Any, **_: Any) -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    torch.set_grad_enabled(False)
    return given[0] if given else None


class NoArguments:
    """A class that is no layer."""


class WrongForward(nn.Module):
    """A layer that takes anything and gives nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, *_: Any) -> None:
        return None


ERRORS = (ValueError, KeyError, RuntimeError, NotImplementedError, MemoryError, AssertionError)
ERRORS += (StopIteration, SystemExit)
ANSWERS: tuple[Any, ...] = (
    *(None, 3, "x", [], torch.zeros(3), nn.ReLU(), nn.ReLU, NoArguments, WrongForward, print, int),
    *(lambda: None, lambda x: x, lambda *_, **__: None, lambda *_, **__: torch.nan),
    *(lambda *a, **_: a, lambda *_, **__: (None, None), lambda *_, **__: ("x", "y", "z")),
    *(lambda *_, **__: torch.zeros(0), lambda *_, **__: (torch.zeros(1),) * 2),
    *(lambda *_, **__: torch.zeros(3, device="meta"), lambda *_, **__: 10**400),
    *(lambda *_, **__: (10**400, -(10**400), 1), lambda *_, **__: (True, False, 1j)),
    lambda *_, **__: (float("inf"), float("nan"), 1),
    *(lambda *_, **__: torch.full((2, 3, 4, 4), torch.inf), lambda *_, **__: iter([1, 2])),
    lambda *_, **__: torch.zeros(2, 3, dtype=torch.complex64),
    lambda *_, **__: torch.eye(3).to_sparse(),
    *((lambda *_, error=error, **__: _raise(error)) for error in ERRORS),
    *(_forever, _deeper, _mutating, _settings),
)
CHECKS = [name for name in exercises.__all__ if name.startswith("check_")]


def _state() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state().sum().item(),
        sys.getrecursionlimit(),
    )


def check_answer(rng: random.Random) -> tuple[str, str]:
    """Give a check an answer that is none; its name and what went wrong, empty if nothing."""
    name, number = rng.choice(CHECKS), rng.randrange(len(ANSWERS))
    case, before = f"{name}, answer {number}", _state()
    verdict, error = attempt(lambda: getattr(exercises, name)(ANSWERS[number]))
    if error:
        return case, f"traceback: {place_of(error)}"
    if _state() != before:
        return case, f"lost: the settings were {before}, are {_state()}"
    if not isinstance(verdict, exercises.Verdict) or verdict.right:
        return case, f"silent: {verdict!r:.80}"
    return case, ""


def misuses(tally: Tally, rng: random.Random, place: Path) -> None:
    """Calls with one thing wrong; each has to raise ``ValueError`` or ``OSError``.

    A check of an exercise has to find the answer wrong instead, and may leave nothing changed.
    """
    learner.LIMIT = 0.5
    calls = Calls(rng, place)
    names = "recipe history turns inside cam calibration tested batches together study parts"
    names = [*names.split(), "networks", "training", "images", *["check"] * 5]
    while tally.left:
        name = rng.choice(names)
        if name == "check":
            case, wrong = check_answer(rng)
            kind, _, line = wrong.partition(": ")
            tally.add(kind or "fine", f"{case}: {line}")
            continue
        call: Callable[[], object] = getattr(calls, name)
        result, error = attempt(call)
        if error is None:
            tally.add("silent", f"{name}: {result!r:.80}")
        elif not isinstance(error, ValueError | OSError):
            tally.add("traceback", f"{name}: {place_of(error)}")
        else:
            tally.add("fine")
