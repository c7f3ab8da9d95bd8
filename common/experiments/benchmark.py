"""How fast the course trains, beside what it could be compared with, and the memory it takes.

``python -m common benchmark`` times every way of feeding one and the same training step: the
loop's own batches; a plain ``DataLoader`` whose transforms work image by image; and one batch that
never changes, which costs nothing to fetch and is the ceiling. They take turns, round after round,
so that a machine that grows warm or busy slows all of them alike, and medians are reported.

What holds for a whole process (memory settings, threads, peak memory) is measured in processes of
their own, and so are several runs side by side.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from common import settings
from common.data import Batches
from common.experiments.workers import end_with
from common.settings import device_name
from common.training import (
    SHARED,
    Acceleration,
    Recipe,
    Stack,
    TrainingState,
    evaluate,
    seeded_model,
)

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from common.data import ImageData, ImageSet


LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
WORKERS = (0, 2, 4)  # of the DataLoader
RUNS_AT_ONCE = (1, 2, 4)
WARM_UP = 3  # steps: the first ones set up memory and choose kernels
# How the bare step can be accelerated: see common.training.acceleration.
ACCELERATIONS = (
    Acceleration(recorded=True),
    Acceleration(compiled=True),
    Acceleration(bfloat16=True),
    Acceleration(compiled=True, bfloat16=True),
)
SEEDS_AS_ONE = (2, 4, 8)  # networks in one process: see common.training.together


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        network, data, device: as ``build``, ``load_images`` and ``pick_device`` take them.
        batches: how many are timed in each round, above 0.
        rounds: how often the ways take turns, above 0.
        workers: numbers of ``DataLoader`` workers to compare with.
        at_once: numbers of one-thread runs side by side.
        accelerated: whether the bare step is also timed compiled and in bfloat16, and several seeds
            trained as one.

    Raises ``ValueError`` naming the attribute that is out of range.
    """

    network: str = "course"
    data: str = "cifar10"
    device: str | None = None
    batches: int = 8
    rounds: int = 3
    workers: tuple[int, ...] = WORKERS
    at_once: tuple[int, ...] = RUNS_AT_ONCE
    accelerated: bool = False

    def __post_init__(self) -> None:
        for name in ("batches", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")

    def fitting(self, cores: int) -> Plan:
        """The same plan without more workers or runs at a time than there are cores."""
        return replace(
            self,
            workers=tuple(n for n in self.workers if n <= cores),
            at_once=tuple(n for n in self.at_once if n <= cores),
        )


QUICK_PLAN = Plan(batches=3, rounds=1, workers=(0, 2), at_once=(1, 2))


def plan(**wanted: Any) -> Plan:
    """The plan for full or quick mode with these attributes; None leaves one as it is."""
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(QUICK_PLAN if settings.quick() else Plan(), **given)


class Trainer:
    """One network in training, which takes as many steps as it is asked for.

    The step is ``fit``'s own, loss and accuracy sums included; the learning rate stays constant,
    because no schedule knows how many steps a benchmark takes. With more than one of ``seeds``, as
    many networks are trained as one (``common.training.together``).
    """

    def __init__(
        self,
        network: str,
        norm: str,
        data: ImageData,
        device: torch.device,
        layout: str | None = None,
        acceleration: Acceleration | None = None,
        seeds: int = 1,
        recipe: Recipe = SHARED,
    ) -> None:
        self.data, self.device, self.seeds = data, device, seeds
        recipe = replace(recipe, schedule="constant")
        self.recipe = recipe.shortened() if data.quick else recipe
        self.batches = Batches(
            data.train,
            data.mean,
            data.std,
            batch_size=self.recipe.batch_size,
            shift=self.recipe.shift,
            flip=self.recipe.flip,
            device=device,
        )
        self.layout = LAYOUTS[layout] if layout else self.batches.normalise.layout
        self.batches.normalise.layout = self.layout
        numbers = range(self.recipe.seed, self.recipe.seed + seeds)
        if seeds > 1:
            self.model = Stack([seeded_model(network, norm, data, n) for n in numbers])
            self.model.to(device).train()
            self.run = TrainingState(self.model, self.recipe, steps=1, seeds=numbers)
        else:
            self.model = seeded_model(network, norm, data, self.recipe.seed)
            self.model.to(device, memory_format=self.layout).train()
            self.run = TrainingState(self.model, self.recipe, steps=1)
        self.run.accelerate(acceleration or Acceleration.chosen(), *next(self.own()))

    def own(self, size: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The training loop's batches, epoch after epoch; resized if a ``size`` is given."""
        while True:
            if self.seeds > 1:
                yield from self.batches.together(self.run.generators)
            else:
                yield from self.batches.epoch(self.run.generators[0], size=size)

    def fixed(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One batch, again and again."""
        batch = next(self.own())
        while True:
            yield batch

    def loaded(self, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of a plain ``DataLoader``, epoch after epoch."""
        loader = plain_loader(self.data, self.recipe, workers, self.device)
        while True:
            for x, y in loader:
                x = x.to(self.device, non_blocking=True, memory_format=self.layout)
                yield x, y.to(self.device, non_blocking=True)

    def loaded_speed(self, workers: int, count: int) -> float:
        """``speed`` with a ``DataLoader``, whose workers have not had time to get ahead."""
        # Workers start anew each round: idle ones fill their queues, and those batches would come
        # for free. For the same reason the first ones they make are not timed.
        batches = self.loaded(workers)
        self.speed(batches, 2 * workers + 1)
        return self.speed(batches, count)

    def speed(self, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], count: int) -> float:
        """Images a second over ``count`` steps, of all seeds together."""
        total = torch.zeros(2, 1, device=self.device)
        self._finish()
        started = time.perf_counter()
        for x, y in islice(batches, count):
            total += self.run.step(x, y).view(2, -1).sum(1, keepdim=True)
        total.tolist()  # read once, as at the end of an epoch
        self._finish()
        images = count * self.recipe.batch_size * self.seeds
        return images / (time.perf_counter() - started)

    def _finish(self) -> None:
        """Wait for what the device still has to do: a GPU works behind the program's back."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


class PerImage(torch.utils.data.Dataset):
    """The images as torchvision's data sets give them: one PIL image at a time, transformed."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], torch.Tensor]) -> None:
        self.images = images.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def plain_loader(data: ImageData, recipe: Recipe, workers: int, device: torch.device) -> DataLoader:
    """The usual way to write it: torchvision's transforms, image by image, in a ``DataLoader``.

    Same augmentation, batch size and images as the training loop's own batches.
    """
    from torchvision import transforms

    size = tuple(data.train.images.shape[-2:])
    crop = transforms.RandomCrop(size, padding=recipe.shift, padding_mode="reflect")
    steps: list[Any] = [crop] if recipe.shift else []
    steps += [transforms.RandomHorizontalFlip()] if recipe.flip else []
    steps += [transforms.RandAugment()] if recipe.augmentation == "randaugment" else []
    steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return torch.utils.data.DataLoader(
        PerImage(data.train, transforms.Compose(steps)),
        batch_size=recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )


def compare_ways(plan: Plan, norm: str, data: ImageData) -> dict[str, list[float]]:
    """Images a second of every way to feed the step, one value a round.

    The keys are ``own``, ``loader 0`` (2, 4, … workers), ``fixed`` and ``other layout``: the bare
    step once more, on contiguous tensors if the training loop uses channels_last ones, else the
    other way round. Asked for by the plan: ``compiled``, ``bfloat16`` and ``compiled, bfloat16``,
    the bare step accelerated (one that cannot be compiled here is left out, with a warning), and
    ``2 as one`` (4, 8), as many seeds trained as one, on their own batches.

    ``own, paired`` and ``fixed, paired`` are four times as many rounds of these two alone: they
    differ by less than a shared machine's speed does from one second to the next.
    """
    device = settings.pick_device(plan.device)
    trainer = Trainer(plan.network, norm, data, device)
    other = next(name for name, layout in LAYOUTS.items() if layout != trainer.layout)
    relaid = Trainer(plan.network, norm, data, device, layout=other)
    own, fixed, fixed_relaid = trainer.own(), trainer.fixed(), relaid.fixed()

    ways = {
        "own": lambda: trainer.speed(own, plan.batches),
        **{
            f"loader {n}": functools.partial(trainer.loaded_speed, n, plan.batches)
            for n in plan.workers
        },
        "fixed": lambda: trainer.speed(fixed, plan.batches),
        "other layout": lambda: relaid.speed(fixed_relaid, plan.batches),
    }
    trainer.speed(own, WARM_UP)
    relaid.speed(fixed_relaid, WARM_UP)
    for wanted in ACCELERATIONS if plan.accelerated else ():
        if wanted.recorded and device.type != "cuda":
            continue
        faster = Trainer(plan.network, norm, data, device, acceleration=wanted)
        if faster.run.acceleration == wanted:
            batches = faster.fixed()
            faster.speed(batches, WARM_UP)
            ways[str(wanted)] = functools.partial(faster.speed, batches, plan.batches)
    for count in SEEDS_AS_ONE if plan.accelerated else ():
        stacked = Trainer(plan.network, norm, data, device, seeds=count)
        batches = stacked.own()
        stacked.speed(batches, WARM_UP)
        ways[f"{count} as one"] = functools.partial(stacked.speed, batches, plan.batches)
    pair = {f"{name}, paired": ways[name] for name in ("own", "fixed")}
    return in_turn(ways, plan.rounds) | in_turn(pair, 4 * plan.rounds)


def in_turn(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each way's result in each round; every second round runs backwards, to be fair to all."""
    results: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            results[name].append(ways[name]())
    return results


@dataclass(frozen=True)
class Setup:
    """What a process of its own trains, and whether it keeps freed memory (``tune_process``)."""

    network: str
    norm: str
    data: str
    device: str
    tuned: bool = True
    layout: str | None = None


class Child:
    """A process that trains one network; results come as futures, so several can run at once."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def speed(self, batches: int, threads: int) -> Future[float]:
        """Images a second over ``batches`` steps with ``threads`` threads."""
        return self.pool.submit(_speed, self.setup, batches, threads)

    def evaluation(self, threads: int) -> Future[float]:
        """Images a second of an evaluation on the first 2,000 test images."""
        return self.pool.submit(_evaluation, self.setup, threads)

    def memory(self) -> Future[dict[str, float]]:
        """The most memory it held so far, in MB.

        ``process``: of all of it; ``imports``: before any image was loaded, so mostly PyTorch's
        own; on CUDA also ``device``: allocated on the GPU.
        """
        return self.pool.submit(_memory, self.setup)

    def profile(self, steps: int, threads: int) -> Future[list[dict[str, Any]]]:
        """Where ``steps`` steps spent their time, one row an operator."""
        return self.pool.submit(_profile, self.setup, steps, threads)


class _Here(NamedTuple):
    """What a child keeps between two requests."""

    trainer: Trainer
    own: Iterator[tuple[torch.Tensor, torch.Tensor]]
    imports: int  # bytes held before the images came


@functools.lru_cache(maxsize=1)
def _here(setup: Setup) -> _Here:
    """The child's own trainer, made when the first request comes."""
    from common.data import load_images

    imports = peak_memory()
    if setup.tuned:
        settings.tune_process()
    data = load_images(setup.data)
    device = settings.pick_device(setup.device)
    trainer = Trainer(setup.network, setup.norm, data, device, setup.layout)
    return _Here(trainer, trainer.own(), imports)


def _speed(setup: Setup, batches: int, threads: int) -> float:
    here = _here(setup)
    torch.set_num_threads(threads)
    return here.trainer.speed(here.own, batches)


def _evaluation(setup: Setup, threads: int) -> float:
    trainer = _here(setup).trainer
    torch.set_num_threads(threads)
    data = trainer.data
    images = replace(data.test, images=data.test.images[:2000], labels=data.test.labels[:2000])
    started = time.perf_counter()
    evaluate(trainer.model, images, data)
    return len(images) / (time.perf_counter() - started)


def _memory(setup: Setup) -> dict[str, float]:
    here = _here(setup)
    memory = {"process": peak_memory() / 1e6, "imports": here.imports / 1e6}
    if here.trainer.device.type == "cuda":
        memory["device"] = torch.cuda.max_memory_allocated(here.trainer.device) / 1e6
    return memory


def peak_memory() -> int:
    """The most physical memory this process has ever held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its peak is inherited from the process that started this one.
        lines = status.read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def compare_processes(plan: Plan, norm: str) -> dict[str, Any]:
    """What memory settings and runs side by side do, each measured in fresh processes.

    Returns images a second, one value a round, under ``tuned`` and ``untuned`` (all threads) and
    ``1 at once`` (2, 4, …: one-thread runs, all together); ``evaluation`` and
    ``untuned evaluation`` in images a second; ``memory`` and ``untuned memory`` in MB.
    """
    device = str(settings.pick_device(plan.device))
    setup = Setup(plan.network, norm, plan.data, device)
    threads = settings.threads()
    with ExitStack() as stack:
        untuned = stack.enter_context(Child(replace(setup, tuned=False)))
        tuned = [stack.enter_context(Child(setup)) for _ in range(max(plan.at_once, default=1))]
        gather(child.speed(WARM_UP, threads) for child in (untuned, *tuned))
        fewer = max(1, plan.batches // 3)  # one thread is slower: these take as long
        ways = {
            "tuned": lambda: tuned[0].speed(plan.batches, threads).result(),
            "untuned": lambda: untuned.speed(plan.batches, threads).result(),
            **{
                f"{count} at once": functools.partial(_together, tuned[:count], fewer)
                for count in plan.at_once
            },
        }
        results: dict[str, Any] = in_turn(ways, plan.rounds)
        for prefix, child in (("", tuned[0]), ("untuned ", untuned)):
            results[f"{prefix}evaluation"] = child.evaluation(threads).result()
            results[f"{prefix}memory"] = child.memory().result()
    return results


def gather(futures: Iterator[Future[Any]]) -> list[Any]:
    """The results of work that was all begun before the first is waited for."""
    return [future.result() for future in list(futures)]


def _together(children: Sequence[Child], batches: int) -> float:
    """Images a second of one-thread runs side by side, all in all."""
    return math.fsum(gather(child.speed(batches, 1) for child in children))


def profile(plan: Plan, norm: str, steps: int = 5) -> dict[str, list[dict[str, Any]]]:
    """The operators that take longest in a training step, ``before`` and ``after``.

    Before: contiguous tensors and the system's own memory settings; after: as ``fit`` trains.
    Each is a list of rows, the slowest operator first: ``operator``, ``calls`` and ``ms`` (both a
    step; the time is the operator's own, on a GPU the device's).
    """
    setup = Setup(plan.network, norm, plan.data, str(settings.pick_device(plan.device)))
    setups = {"before": replace(setup, tuned=False, layout="contiguous"), "after": setup}
    results = {}
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it reports that there is no GPU
    for name, setup in setups.items():
        with Child(setup) as child:
            results[name] = child.profile(steps, settings.threads()).result()
    return results


def _profile(setup: Setup, steps: int, threads: int) -> list[dict[str, Any]]:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    trainer, own, _ = _here(setup)
    torch.set_num_threads(threads)
    trainer.speed(own, WARM_UP)
    activities = [ProfilerActivity.CPU]
    on_gpu = trainer.device.type == "cuda"
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with record(activities=activities) as recorded:
        trainer.speed(own, steps)
    name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = [
        {
            "operator": event.key,
            "calls": event.count / steps,
            "ms": getattr(event, name) / steps / 1000,  # from microseconds
        }
        for event in recorded.key_averages()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def about(plan: Plan, data: ImageData, recipe: Recipe) -> dict[str, Any]:
    """What was measured with, on which images and on what: the head of every result."""
    device = settings.pick_device(plan.device)
    recipe = recipe.shortened() if data.quick else recipe
    return {
        "network": plan.network,
        "dataset": data.title,
        "quick": data.quick,
        "train_images": len(data.train),
        "batch_size": recipe.batch_size,
        "optimiser": recipe.optimiser,
        "device": device_name(device),
        "acceleration": str(Acceleration.chosen()),
        "cores": settings.physical_cores(),
        "threads": settings.threads(),
        "layout": "channels_last" if device.type == "cpu" else "contiguous",
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "batches": plan.batches,
        "rounds": plan.rounds,
    }


def run(
    norms: Sequence[str],
    plan: Plan,
    *,
    processes: bool = True,
    profiles: bool = False,
) -> dict[str, Any]:
    """Every measurement for every norm, ready to be saved as JSON; says on stderr how far it is.

    Without ``processes`` only the ways to feed and to take a step, which is a matter of seconds.

    Raises ``ValueError`` for a network, norm, data set or device there is not.
    """
    from common.data import load_images

    data = load_images(plan.data)
    plan = plan.fitting(settings.physical_cores())
    for norm in norms:  # a misspelt name must not wait for the first one's results
        seeded_model(plan.network, norm, data, seed=1)
    settings.tune_process()
    results = {**about(plan, data, SHARED), "norms": {}}
    for norm in norms:
        mine: dict[str, Any] = {}
        results["norms"][norm] = mine
        _say(f"{norm}: the ways to feed one step")
        mine["ways"] = compare_ways(plan, norm, data)
        if processes:
            _say(f"{norm}: memory, and runs side by side")
            mine["processes"] = compare_processes(plan, norm)
        if profiles:
            _say(f"{norm}: profile")
            mine["profile"] = profile(plan, norm)
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
