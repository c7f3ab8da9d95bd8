"""The benchmark: what it compares really is the same work, and its report says what it measured.

No speed is tested: it is the machine's, not the code's.
"""

import json
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice

import pytest
import torch

from common import cli, reports
from common.data.batches import Normaliser
from common.data.images import load_images
from common.experiments import benchmark
from common.experiments.benchmark import Plan, Trainer
from common.reports import speed
from common.training.recipes import Recipe

CPU = torch.device("cpu")
TINY = Plan(data="shapes", device="cpu", batches=1, rounds=1, workers=(0,), at_once=(1,))


@pytest.fixture
def trainer():
    return Trainer("course", "batch", load_images("shapes"), CPU)


@pytest.fixture
def at_home(monkeypatch):
    """Children that work in this process: a new one spends seconds importing PyTorch."""

    class Pool:
        def submit(self, function, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

        def shutdown(self, **_):
            benchmark._here.cache_clear()

    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", lambda *_, **__: Pool())
    threads = torch.get_num_threads()
    monkeypatch.setenv("NORMS_THREADS", str(threads))
    yield
    benchmark._here.cache_clear()


def test_the_ways_differ_in_nothing_but_where_batches_come_from(trainer):
    size = trainer.recipe.batch_size
    ways = {"own": trainer.own(), "fixed": trainer.fixed(), "loader": trainer.loaded(workers=0)}
    for name, way in ways.items():
        for x, y in islice(way, 2):
            assert x.shape == (size, 3, 32, 32), name
            assert x.dtype == torch.float32, name
            assert x.is_contiguous(memory_format=torch.channels_last), name
            assert y.shape == (size,), name
            # Normalised by the same mean and standard deviation, up to a batch's own spread.
            assert x.mean(dim=(0, 2, 3)).abs().max() < 0.5, name
            assert (x.std(dim=(0, 2, 3)) - 1).abs().max() < 0.5, name


def test_the_fixed_batch_stays_and_the_others_change(trainer):
    for way, same in ((trainer.fixed(), True), (trainer.own(), False), (trainer.loaded(0), False)):
        (first, _), (second, _) = islice(way, 2)
        assert torch.equal(first, second) == same


def test_the_loader_gives_the_images_of_the_data_set():
    data = load_images("shapes")
    still = Recipe(batch_size=len(data.train), shift=0, flip=False)
    (x, y) = next(iter(benchmark.plain_loader(data, still, 0, CPU)))
    ours = Normaliser(data.mean, data.std, CPU)(data.train.images)

    def in_order(images, labels):  # the loader shuffles
        keys = (images.double() * torch.arange(1, 3073).view(1, 3, 32, 32)).sum((1, 2, 3))
        order = keys.argsort()
        return images[order], labels[order]

    for one, other in zip(in_order(x, y), in_order(ours, data.train.labels), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_timed_step_trains_the_network(trainer):
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    assert trainer.speed(trainer.own(), 2) > 0
    assert trainer.run.done == 2
    assert trainer.model.training
    assert all(not torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())


def test_the_layout_is_the_one_asked_for():
    data = load_images("shapes")
    for name, layout in benchmark.LAYOUTS.items():
        trainer = Trainer("course", "group", data, CPU, layout=name)
        x, _ = next(trainer.own())
        assert x.is_contiguous(memory_format=layout)
        weight = next(p for p in trainer.model.parameters() if p.ndim == 4 and p.shape[1] > 1)
        assert weight.is_contiguous(memory_format=layout)


def test_ways_take_turns_and_go_back_and_forth():
    calls = []
    ways = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    results = benchmark.in_turn(ways, rounds=2)
    assert "".join(calls) == "abccba"
    assert results == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


def test_everything_is_measured_saved_and_reported(tmp_path, at_home, few_images):
    small = replace(TINY, network="plain-18k")
    results = benchmark.run(["layer"], small, profiles=True)
    path = speed.save_benchmark(results, tmp_path)
    assert json.loads(path.read_text()) == results
    mine = results["norms"]["layer"]
    paired = {"own, paired", "fixed, paired"}
    assert set(mine["ways"]) == {"own", "loader 0", "fixed", "other layout"} | paired
    assert {"tuned", "untuned", "1 at once"} <= set(mine["processes"])
    for name, speeds in mine["ways"].items():
        assert len(speeds) == (4 if name in paired else 1)
        assert min(speeds) > 0
    memory = mine["processes"]["memory"]
    # All in one process here, which may give back a page between the two readings.
    assert 0 < memory["imports"] <= 1.01 * memory["process"]
    for when in ("before", "after"):
        operators = {row["operator"] for row in mine["profile"][when]}
        assert "aten::convolution_backward" in operators
        assert "aten::native_group_norm" in operators  # layer norm is GroupNorm(1, C)
    text = (tmp_path / "benchmark.txt").read_text()
    assert text == speed.report(results) + "\n"
    for words in ("LayerNorm", "a / c", "a / best b", "quick mode", "peak memory"):
        assert words in text
    assert f"{results['threads']} threads" in text
    assert results["device"] in text


def test_the_report_prints_medians_and_ratios_of_rounds():
    ways = {
        "own": [100.0, 300.0, 210.0],
        "loader 0": [50.0, 60.0, 70.0],
        "loader 2": [100.0, 150.0, 105.0],
        "fixed": [200.0, 300.0, 210.0],
        "other layout": [100.0, 100.0, 100.0],
        "own, paired": [90.0, 100.0, 300.0, 400.0],
        "fixed, paired": [100.0, 100.0, 300.0, 800.0],
    }
    processes = {
        "tuned": [200.0] * 3,
        "untuned": [100.0] * 3,
        "1 at once": [60.0] * 3,
        "2 at once": [300.0] * 3,
        "evaluation": 500.0,
        "untuned evaluation": 400.0,
        "memory": {"process": 800.0, "imports": 300.0},
        "untuned memory": {"process": 700.0, "imports": 300.0},
    }
    results = {
        "network": "course",
        "dataset": "shapes",
        "train_images": 430,
        "batch_size": 100,
        "optimiser": "muon",
        "device": "CPU (a)",
        "threads": 2,
        "layout": "channels_last",
        "versions": {"torch": "2"},
        "batches": 1,
        "rounds": 3,
        "norms": {"group": {"ways": ways, "processes": processes}},
    }
    cells = {line[:34].strip(): line[34:].strip() for line in speed.report(results).split("\n")}
    assert cells["(a) the training loop's batches"] == "210"
    assert cells["a / best b"] == "2.00"  # 1, 2 and 2: with two workers
    assert cells["a / c, 4 rounds"] == "0.950"  # 0.9, 1, 1 and 0.5
    assert cells["kept / given back"] == "2.00"
    assert cells["2 runs / 1 run of 2"] == "1.50"
    assert cells["peak memory in MB, kept"] == "800"
    lines = speed.report(results).split("\n")
    epoch = lines[next(i for i, line in enumerate(lines) if line.startswith("(a)")) + 1]
    assert epoch.split()[-1] == "1.9"  # 400 images: an epoch drops the last 30

    data_path, loader, memory = speed.goals(results)
    assert data_path.endswith("at least 0.95: 0.95; reached.")
    assert "`DataLoader`: 2.00; reached" in loader
    assert memory == "Less than 1,500 MB of memory: 800; reached."
    slower = ways | {"own": [90.0] * 3}
    heavy = processes | {"memory": {"process": 1600.0, "imports": 300.0}}
    results["norms"]["group"] = {"ways": slower, "processes": heavy}
    _, loader, memory = speed.goals(results)
    # 100 images in 1,111 ms; the loader with two workers is faster.
    assert "missed: the step itself takes 1111 ms" in loader
    assert "1,600; missed" in memory
    assert "300 MB" in memory
    assert speed.goals(results | {"device": "NVIDIA H100"}) == []


def test_a_child_is_a_process_of_its_own():
    setup = benchmark.Setup("course", "batch", "shapes", "cpu", tuned=False)
    with benchmark.Child(setup) as child:
        memory = child.memory().result()
        assert 50 < memory["imports"] <= memory["process"] < 4000
        assert child.speed(1, threads=1).result() > 0
        pid = child.pool.submit(benchmark.os.getpid).result()
    assert pid != benchmark.os.getpid()


def test_no_more_workers_or_runs_than_cores():
    assert Plan().fitting(2) == Plan(workers=(0, 2), at_once=(1, 2))


@pytest.mark.parametrize("name", ["batches", "rounds"])
def test_nothing_cannot_be_timed(name, capsys):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be 1 or more"):
        Plan(**{name: 0})
    assert cli.main(["benchmark", "--quick", f"--{name}", "0"]) == 2
    assert "must be 1 or more" in capsys.readouterr().err


def test_a_misspelt_norm_is_named_before_anything_is_timed(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "compare_ways", None)  # calling it would now fail
    assert cli.main(["benchmark", "--quick", "--norms", "batch", "bach"]) == 2
    assert "bach" in capsys.readouterr().err


def test_the_command_passes_its_options_on(tmp_path, monkeypatch, capsys):
    asked = {}

    def run(norms, plan, **options):
        asked.update(norms=norms, plan=plan, **options)
        return {"norms": {}}

    monkeypatch.setattr(benchmark, "run", run)
    monkeypatch.setattr(speed, "report", lambda results: "the table")
    monkeypatch.setattr(reports, "report", speed.report)
    out = ["--out", str(tmp_path)]
    assert cli.main(["benchmark", "--norms", "group", "--batches", "7", "--profile", *out]) == 0
    assert asked["norms"] == ["group"]
    assert asked["plan"].batches == 7
    assert (asked["profiles"], asked["processes"]) == (True, True)
    assert "the table" in capsys.readouterr().out
    assert (tmp_path / "benchmark.json").exists()


# ---- importing a module brings in only what it needs --------------------------------------------

# In the order of what they may bring in: what an early line must not load, no later one hides.
IMPORTS = """
import sys
from importlib import import_module

def load(*names, without):
    for name in names:
        import_module("common." + name)
        loaded = set(without.split()) & set(sys.modules)
        assert not loaded, f"common.{name} imports {sorted(loaded)}"

heavy = "torchvision matplotlib scipy joblib safetensors torchsummary ipywidgets IPython"
load("settings", "files", "cli", without=f"torch numpy psutil PIL tqdm {heavy}")
from common import cli
try:
    cli.main(["--help"])
except SystemExit:
    pass
load("cli", without="torch " + heavy)
load("norms", "networks", "data", "training", "experiments", "experiments.benchmark", without=heavy)
load("exercises", without=heavy)
"""

FIGURES = """
import sys
import common.visualisation
loaded = {"torch", "torchvision", "scipy", "joblib", "ipywidgets"} & set(sys.modules)
assert not loaded, f"the figures import {sorted(loaded)}"
"""


@pytest.mark.parametrize("program", [IMPORTS, FIGURES], ids=["training", "figures"])
def test_imports_bring_in_only_what_is_needed(program):
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
