"""Looking into a network: what is seen agrees with a computation by hand, and no hook stays."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.data.types import ImageData, ImageSet
from common.training import Inside, Recipe, fit, grad_cam


@pytest.fixture
def data() -> ImageData:
    images = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    some = ImageSet(images, torch.tensor([0, 1, 2]))
    return ImageData("some", some, some, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3)


def averaging() -> nn.Sequential:
    """Maps, their average, and a linear layer."""
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), *head)


def hooks_on(model: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )


class Two(nn.Module):
    """Two units, w·x and v·x, behind a ReLU; then their sum."""

    def __init__(self, w: float, v: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
        self.first[0].weight.data = torch.tensor([[w], [v]])

    def forward(self, x):
        return self.first(x).sum(1)


def step(model: nn.Module, x: torch.Tensor, rate: float) -> None:
    model.zero_grad()
    model(x).sum().backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= rate * p.grad


def test_by_hand():
    model, x = Two(2.0, -1.0), torch.tensor([[1.0], [3.0]])
    with Inside(model, [model.first], every=2) as seen:
        for _ in range(3):
            step(model, x, rate=0.125)
    # The outputs are 2, 6, 0, 0: mean 2, mean square 10. The gradient of their sum is 1 everywhere.
    # The weight 2 has the gradient 1 + 3, so it moves by 0.5 a step; the other unit is dead.
    assert seen.steps == [1, 3]
    assert seen.spread[0] == pytest.approx([math.sqrt(6)])
    assert seen.gradient[0] == [0.0]
    assert seen.dead == [[0.5], [0.5]]
    assert seen.ratio == [pytest.approx([0.5 / math.sqrt(5)]), pytest.approx([0.5 / math.sqrt(2)])]
    assert seen.seconds > 0


def test_the_gradient_s_spread_is_that_of_the_layer_s_output():
    model, x = Two(2.0, 1.0), torch.tensor([[1.0], [3.0]])
    with Inside(model, [model.first]) as seen:
        (model(x) * torch.tensor([1.0, 5.0])).sum().backward()
    assert seen.gradient == [[2.0]]  # 1, 1, 5, 5


def test_maps_have_a_unit_a_channel():
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    model = nn.Sequential(layer, nn.ReLU())
    with Inside(model, [model[1]]) as seen:
        model(torch.rand(3, 1, 4, 4) + 0.1)
    assert seen.dead == [[0.5]]
    assert math.isnan(seen.gradient[0][0])  # nothing came back
    assert math.isnan(seen.ratio[0][0])  # a ReLU has no weights


@pytest.mark.parametrize("where", ["forward", "between", "interrupt"])
def test_the_hooks_go_whatever_happens(where):
    model, x = Two(2.0, 1.0), torch.ones(2, 1)
    error = KeyboardInterrupt if where == "interrupt" else RuntimeError
    seen = Inside(model, [model.first], every=1)

    def go() -> None:
        with seen:
            assert hooks_on(model) == 2
            step(model, x, 0.1)
            model(torch.ones(2, 7) if where == "forward" else x)
            raise error

    with pytest.raises(error):
        go()
    assert hooks_on(model) == 0
    assert len(seen.steps) == len(seen.spread) == len(seen.ratio) == 2
    assert math.isnan(seen.ratio[-1][0])  # that step never came
    model(x).sum().backward()
    assert len(seen.steps) == 2


def test_tests_in_between_are_no_steps():
    model, x = Two(2.0, 1.0), torch.ones(2, 1)
    with Inside(model, [model.first], every=2) as seen:
        for _ in range(2):
            step(model.train(), x, 0.1)
            model.eval()(x)
    assert seen.steps == [1]


def test_a_training_that_is_watched_comes_to_the_same(data):
    losses, recipe = [], Recipe(epochs=2, batch_size=1, shift=0)
    for every in (1, 2):
        torch.manual_seed(0)
        model = averaging()
        with Inside(model, [model[0], model[4]], every=every) as seen:
            history = fit(model, data, recipe, progress="none", brief=True)
        losses.append(history.column("train_loss"))
        assert seen.steps == [*range(1, 7, every)]
        assert all(0 < ratio < 1 for row in seen.ratio for ratio in row)
    torch.manual_seed(0)
    alone = fit(averaging(), data, recipe, progress="none", brief=True)
    assert losses == [alone.column("train_loss")] * 2


def test_layers_of_another_network_and_no_steps_are_refused():
    model = Two(1.0, 1.0)
    for layers in ([], [nn.ReLU()], nn.ReLU(), None):
        with pytest.raises(ValueError, match="layers of this network"):
            Inside(model, layers)
    for every in (0, 1.5, "3"):
        with pytest.raises(ValueError, match=f"every is {every}"):
            Inside(model, [model.first], every=every)


# --- Grad-CAM -------------------------------------------------------------------------------------


def test_behind_an_average_it_is_the_class_activation_map(data):
    model, classes = averaging().train(), torch.tensor([2, 0, 1])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = grad_cam(model, model[1], data.test.images, data, classes)
    x = (data.test.images / 255 - 0.5) / 0.25
    with torch.no_grad():
        maps = model.eval()[1](model[0](x))
        weights = model[4].weight[classes]  # (3, 4)
    expected = F.relu(torch.einsum("nc,nchw->nhw", weights, maps)) / (4 * 4)
    torch.testing.assert_close(found, expected)
    assert found.shape == (3, 4, 4)
    assert found.max() > 0
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_the_network_stays_as_it_was(data):
    model = averaging().train().requires_grad_(False)
    found = grad_cam(model, model[1], data.test.images, data, torch.tensor([2, 0, 1]))
    assert model.training
    assert hooks_on(model) == 0
    assert not found.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_no_hook_stays_after_an_error(data):
    model = nn.Sequential(averaging(), nn.Linear(7, 3))  # which does not fit
    with pytest.raises(RuntimeError):
        grad_cam(model, model[0][1], data.test.images, data, torch.tensor([0, 0, 0]))
    assert hooks_on(model) == 0


def test_a_layer_without_maps_is_refused(data):
    model = averaging()
    for layer in (model[3], nn.ReLU()):
        with pytest.raises(ValueError, match="gives maps"):
            grad_cam(model, layer, data.test.images, data, torch.tensor([0, 0, 0]))


class Aside(nn.Module):
    """A network with a layer on which no answer depends."""

    def __init__(self):
        super().__init__()
        self.used, self.aside = averaging(), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        self.aside(x)
        return self.used(x)


def test_what_grad_cam_cannot_answer_is_refused(data):
    model, images, classes = Aside(), data.test.images, torch.tensor([2, 0, 1])
    with pytest.raises(ValueError, match="gives maps"):
        grad_cam(model, model.aside, images, data, classes)
    for pictures, asked, words in (
        (images, classes[:2], "one an image"),
        (images, classes + 1, "must go from 0 to 2"),
        (images / 255, classes, "must be torch.uint8"),
        (images[:0], classes[:0], "at least one"),
    ):
        with pytest.raises(ValueError, match=words):
            grad_cam(model, model.used[1], pictures, data, asked)
