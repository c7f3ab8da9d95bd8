"""The helpers of the LayerNorm lesson, and the facts that it shows with them."""

from __future__ import annotations

import pytest
import torch

from common.data.images import load_images
from common.networks.registry import build


@pytest.fixture
def utils(lesson_modules):
    with lesson_modules("Layer-Norm") as lesson:
        yield lesson.utils


@pytest.fixture(scope="module")
def data():
    return load_images("shapes")


@pytest.mark.parametrize(
    ("network", "in_norms"), [("plain-47k", 36_336), ("plain-27k", 23_376), ("plain-44k", 32_416)]
)
def test_norm_parameters_counts_the_affines_of_the_norms_alone(utils, network, in_norms):
    assert utils.norm_parameters(build(network, "layer")) == in_norms


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

    few = data.test.draw(20)
    answers = torch.nn.functional.one_hot(few.labels, len(data.classes)).float()
    answers[:5] = 1 - answers[:5]
    assert utils.accuracy(Knows(answers).train(), few, data) == pytest.approx(75)
