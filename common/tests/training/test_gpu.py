"""What only a GPU can show; skipped where there is none."""

from dataclasses import replace

import pytest
import torch

from common import settings
from common.data import ImageSet, load_images
from common.experiments.laboratory import STUDIES
from common.experiments.laboratory.runner import run_studies
from common.training import Acceleration, Recipe, evaluate, fit, seeded_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05, optimiser="sgd")


@pytest.fixture(scope="module", autouse=True)
def on_the_gpu(on_the_processor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMS_DEVICE", "cuda")
        yield


@pytest.fixture(scope="module")
def data():
    full = load_images("shapes")
    few = ImageSet(full.train.images[:64], full.train.labels[:64])
    return replace(full, train=few, test=ImageSet(full.test.images[:40], full.test.labels[:40]))


def trained(data, norm="batch", recipe=RECIPE, **options):
    model = seeded_model("course", norm, data, seed=1)
    return model, fit(model, data, recipe, norm=norm, progress="none", **options)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_it_learns_what_the_processor_learns(data, norm):
    _, there = trained(data, norm)
    _, here = trained(data, norm, device="cpu")
    assert there.device == torch.cuda.get_device_name()
    assert there.column("train_loss")[0] == pytest.approx(here.column("train_loss")[0], rel=2e-2)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_a_recorded_step_is_the_same_step(data, norm, monkeypatch):
    _, eager = trained(data, norm)
    monkeypatch.setenv("NORMS_RECORD", "1")
    model, recorded = trained(data, norm)
    assert recorded.acceleration == "recorded"
    assert recorded.column("train_loss") == pytest.approx(eager.column("train_loss"), rel=2e-2)
    # The graphs were made in training mode; the model itself still knows the other one.
    score = evaluate(model, data.test, data)
    assert score.accuracy == pytest.approx(recorded.test_accuracy)


def test_what_cannot_be_recorded_goes_on_without(data, monkeypatch):
    monkeypatch.setenv("NORMS_RECORD", "1")
    model = seeded_model("course", "batch", data, seed=1)
    seen = []
    model.stem[0].register_forward_hook(lambda *_: seen.append(1))
    with pytest.warns(UserWarning, match="would not call the hooks"):
        history = fit(model, data, RECIPE, progress="none")
    assert history.acceleration == ""
    assert seen


def test_smaller_first_epochs_leave_the_graph_alone(data, monkeypatch):
    monkeypatch.setenv("NORMS_RECORD", "1")
    _, history = trained(data, recipe=replace(RECIPE, sizes=(16,)))
    assert len(history.epochs) == 2


def test_a_study_says_which_gpu_it_ran_on(tmp_path):
    some = replace(STUDIES["rate"].shortened(), seeds=(1,), quick={})
    (kept,) = run_studies([some], tmp_path, data="shapes", jobs=1, say=lambda _: None)
    assert torch.cuda.get_device_name() in kept.versions[0]


def test_acceleration_is_off_unless_asked_for():
    assert Acceleration.chosen() == Acceleration()
    assert settings.pick_device(None).type == "cuda"
