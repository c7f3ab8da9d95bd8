"""The helpers of the LayerNorm lesson, and the facts that it shows with them."""

from __future__ import annotations

import pytest
import torch

from common.data.images import load_images
from common.networks.registry import build, count_parameters


@pytest.fixture
def utils(lesson_modules):
    with lesson_modules("Layer-Norm") as lesson:
        yield lesson.utils


@pytest.fixture(scope="module")
def data():
    return load_images("shapes")


def test_three_layer_norms_differ_in_cost_and_two_agree_at_the_start(utils):
    x = 5 + 3 * torch.randn(2, 4, 6, 5)
    layers = utils.three_layer_norms(4, 6, 5)
    assert [count_parameters(layer) for layer in layers.values()] == [240, 8, 8]
    per_position, one_group, over_channels = (layer(x) for layer in layers.values())
    torch.testing.assert_close(per_position, one_group)
    assert (per_position - over_channels).abs().max() > 0.1


@pytest.mark.parametrize(
    ("network", "in_norms"), [("plain-47k", 36_336), ("plain-27k", 23_376), ("plain-44k", 32_416)]
)
def test_norm_parameters_counts_the_affines_of_the_norms_alone(utils, network, in_norms):
    assert utils.norm_parameters(build(network, "layer")) == in_norms


def test_some_images_are_picked_at_random_each_once_and_the_same_every_time(utils, data):
    few = utils.some(data, train=100, test=50)
    assert (len(few.train), len(few.test)) == (100, 50)
    assert len(few.train.images.flatten(1).unique(dim=0)) == 100
    assert few.train.labels.unique().numel() > 5
    assert torch.equal(few.train.images, utils.some(data, train=100, test=1).train.images)
    assert not torch.equal(few.train.images, data.train.images[:100])
    assert len(utils.some(data, train=1, test=10**6).test) == len(data.test)


def test_tiny_networks_with_one_seed_are_twins(utils):
    pair = [utils.tiny_network(torch.nn.Identity(), 7) for _ in range(2)]
    x = torch.randn(2, 3, 32, 32)
    assert pair[0](x).shape == (2, 7)
    torch.testing.assert_close(pair[0](x), pair[1](x), rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_batch_mates_and_mode_change_the_answer_of_batch_norm_alone(utils, data, norm):
    images = data.test.images
    model = build(norm=norm)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gaps = utils.changes(model, images[:1], images[1:9], images[9:17], data)
    assert list(gaps) == [
        "other batch mates in eval mode",
        "other batch mates in train mode",
        "train mode instead of eval mode",
    ]
    in_eval, in_train, mode = gaps.values()
    assert in_eval < 1e-5
    if norm == "layer":
        assert max(in_train, mode) < 1e-5
    else:
        assert min(in_train, mode) > 1e-3
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_contrast_is_invisible_behind_layer_norm_and_not_behind_batch_norm(utils, data):
    images = data.test.images[:8]
    gap = {}
    for norm in ("batch", "layer"):
        torch.manual_seed(0)
        model = build(norm=norm)
        as_they_are, faded = (
            utils.outputs(model, images, data, contrast=contrast) for contrast in (1.0, 0.25)
        )
        gap[norm] = ((faded - as_they_are).abs().max() / as_they_are.std()).item()
    assert gap["layer"] < 0.005
    assert gap["batch"] > 0.02


def test_fading_to_black_is_what_a_photo_would_do_and_layer_norm_sees_it(utils, data):
    images = data.test.images[:8]
    torch.manual_seed(0)
    model = build(norm="layer")
    darker = utils.outputs(model, images, data, contrast=0.25, to_black=True)
    by_hand = utils.outputs(model, (images / 4).round().to(torch.uint8), data)
    as_they_are = utils.outputs(model, images, data)
    assert (darker - by_hand).abs().max() < 0.2 * as_they_are.std()  # but for the rounding
    assert (darker - as_they_are).abs().max() > as_they_are.std()


def test_accuracy_is_that_of_the_images_in_eval_mode(utils, data):
    class Knows(torch.nn.Module):
        def __init__(self, answers):
            super().__init__()
            self.answers = torch.nn.Parameter(answers)

        def forward(self, x):
            return -self.answers if self.training else self.answers

    few = utils.some(data, train=1, test=20).test
    answers = torch.nn.functional.one_hot(few.labels, len(data.classes)).float()
    answers[:5] = 1 - answers[:5]
    assert utils.accuracy(Knows(answers).train(), few, data) == pytest.approx(75)
