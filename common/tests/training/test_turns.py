"""Networks that take turns come to what each comes to alone, and can be stopped."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from common.data import Batches, load_images, small
from common.norms import make_norm
from common.training.evaluation import evaluate
from common.training.loop import fit
from common.training.recipes import Recipe
from common.training.state import TrainingState
from common.training.turns import Turns, take_turns, weights_of

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def data():
    return small(load_images("shapes"), train=32, test=16)


def net(norm: str = "batch", classes: int = 10, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 4, 3, stride=2), make_norm(norm, 4), nn.ReLU(), nn.Dropout(0.5)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


class Bursting(nn.Module):
    """Infinite in train mode alone."""

    def forward(self, x):
        return x * torch.inf if self.training else x


def run(models, data, **more) -> Turns:
    return take_turns(models, data, RECIPE, progress="none", **more)


@pytest.fixture(scope="module")
def pair(data):
    """Two networks that have taken turns, and the numbers of epochs seen after each turn."""
    seen = []
    models = {"batch": net(), "none": net("none")}
    turns = run(models, data, show=lambda t: seen.append([*map(len, t.gradients.values())]))
    return models, turns, seen


def test_the_average_is_what_each_ends_with_as_alone(data):
    recipe = replace(RECIPE, batch_size=4, average=0.9)
    model, alone = net(), net()
    take_turns({"batch": model}, data, recipe, progress="none")
    fit(alone, data, recipe, progress="none")
    assert torch.equal(model[0].weight, alone[0].weight)


def test_each_comes_to_what_it_comes_to_alone_dropout_and_all(pair, data):
    models, turns, _ = pair
    for norm, model in models.items():
        alone = net(norm)
        history = fit(alone, data, RECIPE, progress="none")
        for column in ("train_loss", "test_loss", "test_accuracy", "learning_rate"):
            assert turns.histories[norm].column(column) == history.column(column)
        assert torch.equal(model[0].weight, alone[0].weight)
        assert not model.training


def test_they_take_turns_epoch_by_epoch(pair):
    _, turns, seen = pair
    assert seen == [[1, 0], [1, 1], [2, 1], [2, 2]]
    assert turns.running == []
    assert not turns.stopped
    assert turns.words == "Epochs: 2 of batch, 2 of none."


def test_a_layer_that_is_frozen_has_no_gradient(data):
    model = net("none")
    model[0].requires_grad_(False)
    (row, _) = run({"none": model}, data).gradients["none"]
    assert math.isnan(row[0])
    assert row[1] > 0


def test_gradients_are_those_of_the_epochs_steps(data):
    recipe = replace(RECIPE, epochs=1, batch_size=32)  # a single step
    turns = take_turns({"none": net("none")}, data, recipe, progress="none")
    twin = net("none").train().to(memory_format=torch.channels_last)
    batches = Batches(data.train, data.mean, data.std, batch_size=32)
    torch.manual_seed(recipe.seed)
    x, y = next(batches.epoch(torch.Generator().manual_seed(recipe.seed)))
    nn.functional.cross_entropy(twin(x), y).backward()
    first = [weight.grad.norm() for weight in weights_of(twin).values()]
    (found,) = turns.gradients["none"]
    assert turns.layers == ["0", "6"]
    assert found == pytest.approx([value.item() for value in first], rel=1e-4)


def test_stopped_half_way_whole_epochs_are_kept_and_a_sentence_says_which(data, capsys):
    shown = []

    def stop(turns):
        shown.append(turns.stopped)
        if len(shown) == 3:
            raise KeyboardInterrupt

    turns = run({"batch": net(), "none": net("none")}, data, show=stop)
    assert turns.stopped
    assert shown == [False, False, False, True]
    assert [len(history.epochs) for history in turns.histories.values()] == [2, 1]
    said = capsys.readouterr()
    assert said.out.startswith("Stopped. Epochs kept: 2 of batch, 1 of none; what follows works")
    assert said.err == ""
    assert turns.running == []


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("steps", [3, 11, 31, 34])  # of forty; an average from the 31st on
def test_stopped_within_an_epoch_a_network_is_what_its_last_whole_one_made_it(
    data, monkeypatch, steps, average
):
    step = TrainingState.step

    def stop(state, x, y):
        if state.done == steps:
            raise KeyboardInterrupt
        return step(state, x, y)

    monkeypatch.setattr(TrainingState, "step", stop)
    model, recipe = net(), replace(RECIPE, epochs=5, batch_size=4, average=average)
    before = copy.deepcopy(model.state_dict())
    data = replace(data, quick=False)
    history = take_turns({"batch": model}, data, recipe, progress="none").histories["batch"]
    assert len(history.epochs) == steps // 8
    if history.epochs:
        last = history.epochs[-1]["test_loss"]
        assert evaluate(model, data.test, data).loss == last
    else:
        assert all(torch.equal(a, before[name]) for name, a in model.state_dict().items())


def test_one_that_diverges_is_left_behind(data):
    lost = nn.Sequential(*net()[:3], Bursting(), *net()[4:])
    turns = run({"lost": lost, "batch": net()}, data)
    assert [len(history.epochs) for history in turns.histories.values()] == [0, 2]
    assert turns.accuracy("lost") is None
    assert turns.accuracy("batch") == turns.histories["batch"].test_accuracy
    assert "Given up, for the loss was no number any more: lost in epoch 1." in turns.words


def test_other_layers_are_refused(data):
    with pytest.raises(ValueError, match="the same layers"):
        run({"one": net(), "other": nn.Sequential(nn.Flatten(), nn.Linear(768, 10))}, data)
    with pytest.raises(ValueError, match="the same layers"):
        run({}, data)


def test_the_callers_chance_is_left_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models = {"none": nn.Sequential(nn.Flatten(), nn.Linear(768, 10))}
    torch.manual_seed(5)
    run(models, data)
    assert torch.equal(torch.rand(1), expected)
