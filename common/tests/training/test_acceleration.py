"""Compiled and bfloat16 steps: asked for, tried out first, and left out aloud where they fail."""

import warnings
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from common.data.images import load_images
from common.data.types import ImageSet
from common.experiments import benchmark
from common.training.acceleration import (
    Acceleration,
    compile_or_explain,
    make_forward,
    record_or_explain,
)
from common.training.loop import fit, seeded_model
from common.training.recipes import Recipe

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)
SMALL = benchmark.Plan(
    "plain-11k", "shapes", "cpu", batches=1, rounds=1, workers=(), at_once=(), accelerated=True
)


@pytest.fixture(scope="module")
def data():
    full = load_images("shapes")
    few = ImageSet(full.train.images[:32], full.train.labels[:32])
    return replace(full, train=few, test=ImageSet(full.test.images[:20], full.test.labels[:20]))


@pytest.fixture
def quick_compiler(monkeypatch):
    """torch.compile without code generation: the tracing is real, the minutes are not."""
    whole, modes = torch.compile, []

    def compiler(function, mode, dynamic):
        modes.append(mode)
        return whole(function, backend="eager", dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", compiler)
    yield modes
    torch._dynamo.reset()


@pytest.fixture
def no_compiler(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no C++ compiler\nand a long trace")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)


def trained(data, network="plain-18k", norm="batch", **options):
    model = seeded_model(network, norm, data, seed=1)
    history = fit(model, data, RECIPE, network=network, norm=norm, progress="none", **options)
    return model, history


def state(model):
    return [value.clone() for value in model.state_dict().values()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_nothing_is_accelerated_unless_asked_for(data):
    assert Acceleration.chosen() == Acceleration(False, False, False)
    assert trained(data)[1].acceleration == ""


@pytest.mark.parametrize("name", ["NORMS_COMPILE", "NORMS_BF16", "NORMS_RECORD"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, "yes")
    with pytest.raises(ValueError, match=f"{name} is 'yes'; set it to 1 .on. or 0 .off."):
        Acceleration.chosen()


def test_a_compiled_run_ends_where_an_eager_one_does(data, monkeypatch, quick_compiler):
    _, eager = trained(data)
    monkeypatch.setenv("NORMS_COMPILE", "1")
    _, compiled = trained(data)
    assert quick_compiler == ["default"]
    assert compiled.acceleration == "compiled"
    assert compiled.column("train_loss") == pytest.approx(eager.column("train_loss"), rel=1e-4)
    assert compiled.column("test_loss") == pytest.approx(eager.column("test_loss"), rel=1e-3)


def test_a_network_with_dropout_draws_the_same_numbers_when_compiled(
    data, monkeypatch, quick_compiler
):
    _, eager = trained(data, network="plain-18k")
    monkeypatch.setenv("NORMS_COMPILE", "1")
    _, compiled = trained(data, network="plain-18k")
    assert compiled.column("train_loss") == pytest.approx(eager.column("train_loss"), rel=1e-4)


def test_a_failed_compilation_is_said_aloud_and_changes_nothing(data, monkeypatch, no_compiler):
    model, eager = trained(data, network="plain-18k")
    monkeypatch.setenv("NORMS_COMPILE", "1")
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler\); this run goes on without it"):
        again, history = trained(data, network="plain-18k")
    assert history.acceleration == ""
    assert history.column("test_loss") == eager.column("test_loss")
    assert same(state(model), state(again))


def test_the_trial_leaves_model_gradients_and_random_state_as_they_were(data, quick_compiler):
    model = seeded_model("plain-18k", "batch", data, seed=1).train()
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    before, random = state(model), torch.get_rng_state()
    assert compile_or_explain(make_forward(model, 0.0, False), model, x, y) is not None
    assert same(before, state(model))
    assert torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_be_recorded_is_said_aloud_and_changes_nothing(data, monkeypatch):
    model, eager = trained(data)
    monkeypatch.setenv("NORMS_RECORD", "1")
    with pytest.warns(UserWarning, match=r"only CUDA can record, and this is cpu\); this run"):
        again, history = trained(data)
    assert history.acceleration == ""
    assert history.column("test_loss") == eager.column("test_loss")
    assert same(state(model), state(again))


def test_recording_replays_the_training_pass_and_leaves_the_model_its_own(data, monkeypatch):
    """On a stand-in for CUDA's capture: what is recorded, with what, and what stays as it was."""
    model = seeded_model("course", "batch", data, seed=1).eval()
    x, made = torch.randn(4, 3, 32, 32), []

    def make(module, samples):
        assert module.training
        assert samples[0].shape == x.shape
        made.append(module)
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make)
    monkeypatch.setattr(torch.Tensor, "device", property(lambda _: torch.device("cuda")))
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    before = state(model)
    recorded = record_or_explain(model, x)
    monkeypatch.undo()
    assert same(before, state(model))
    assert not model.training
    seen = []
    made[0].register_forward_hook(lambda *_: seen.append(1))
    assert len(recorded(x)) == 4
    assert len(recorded(x[:2])) == 2  # another shape goes round the graph
    assert seen == [1]


def test_bfloat16_reaches_the_convolutions_and_not_the_loss(data):
    model = seeded_model("course", "group", data, seed=1).train()
    seen = []
    model.stem[0].register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    rough, _ = make_forward(model, 0.0, bfloat16=True)(x, y)
    exact, _ = make_forward(model, 0.0, bfloat16=False)(x, y)
    assert seen == [torch.bfloat16, torch.float32]
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.05)
    assert rough.item() != exact.item()


def test_a_run_in_bfloat16_says_so(data, monkeypatch):
    monkeypatch.setenv("NORMS_BF16", "1")
    model, history = trained(data, "plain-11k", "group")
    assert history.acceleration == "bfloat16"
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_checkpoint_of_an_eager_run_is_not_taken_up_in_bfloat16(data, tmp_path, monkeypatch):
    file = tmp_path / "run.checkpoint"
    trained(data, checkpoint=file)
    monkeypatch.setenv("NORMS_BF16", "1")
    with pytest.raises(ValueError, match="belongs to another run: its acceleration is ''"):
        trained(data, checkpoint=file)


def test_the_benchmark_times_each_acceleration_that_works_here(monkeypatch, quick_compiler):
    ways = benchmark.compare_ways(SMALL, "layer", load_images("shapes"))
    assert {"compiled", "bfloat16", "compiled, bfloat16"} <= set(ways)


def test_the_benchmark_leaves_out_what_cannot_be_compiled(no_compiler):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ways = benchmark.compare_ways(SMALL, "layer", load_images("shapes"))
    assert "bfloat16" in ways
    assert "compiled" not in ways
