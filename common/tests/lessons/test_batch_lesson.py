"""The helpers of the BatchNorm lesson leave a network as they found it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.data.images import load_images


@pytest.fixture
def utils(lesson_modules):
    with lesson_modules("Batch-Norm") as lesson:
        yield lesson.utils


@pytest.fixture
def net():
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers).eval()


def test_batch_mode_uses_the_batch_and_learns_nothing(utils, net):
    x = torch.randn(6, 3, 8, 8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    alone = utils.outputs(net, x, 1)
    torch.testing.assert_close(alone, utils.outputs(net, x, 6))
    with utils.batch_mode(net):
        assert not torch.allclose(utils.outputs(net, x, 3), utils.outputs(net, x, 6), atol=1e-3)
    torch.testing.assert_close(utils.outputs(net, x, 6), alone)
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(net.state_dict()[name], before[name], rtol=0, atol=0)


def test_batch_mode_ends_after_an_error_too(utils, net):
    with pytest.raises(KeyError), utils.batch_mode(net):
        raise KeyError
    assert not net[1].training
    assert net[1].momentum == 0.1


def test_running_statistics_follow_the_recorded_ones(utils, net):
    layer = net.train()[1]
    with utils.recording(layer) as record:
        for _ in range(3):
            utils.outputs(net, 2 + torch.randn(5, 3, 8, 8), 5)
    mean, variance = torch.zeros(4), torch.ones(4)
    for step in range(3):
        mean = 0.9 * mean + 0.1 * record["batch_mean"][step]
        variance = 0.9 * variance + 0.1 * record["batch_var"][step]
        torch.testing.assert_close(record["running_mean"][step], mean)
        torch.testing.assert_close(record["running_var"][step], variance)


def test_recording_removes_its_hook(utils, net):
    with pytest.raises(KeyError), utils.recording(net[1]):
        raise KeyError
    assert not net[1]._forward_hooks


def test_noise_shrinks_with_the_root_of_the_batch_size(utils, net):
    x = torch.randn(400, 3, 8, 8)
    with torch.no_grad():
        net.train()(x)
    few, many = utils.noise(net.eval(), net[1], x, (4, 64))
    assert few / many == pytest.approx(4, rel=0.15)
    assert not net[1]._forward_pre_hooks


def test_the_way_back_takes_mean_and_slope_away(utils, net):
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([0.5, -1.0, 2.0, 3.0]))
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % 4
    ((x_hat, above, below),) = utils.backward_at(net.train(), [net[1]], x, y)
    assert x_hat.shape == above.shape == below.shape == (4, 6 * 6 * 6)
    line = above.mean(1, keepdim=True) + x_hat * (above * x_hat).mean(1, keepdim=True)
    assert line.abs().max() > 1e-4
    torch.testing.assert_close(below, above - line, rtol=1e-3, atol=1e-6)
    assert not net[1]._forward_hooks
    assert not net[1]._backward_hooks


def test_test_images_come_shuffled_with_their_labels(utils):
    data = load_images("shapes")
    x, y = utils.draw_test_images(data, 50)
    assert x.shape == (50, 3, 32, 32)
    assert not y.equal(data.test.labels[:50])
    every, labels = utils.draw_test_images(data, 10**6)
    assert len(every) == len(labels) == len(data.test)
    assert labels.bincount().equal(data.test.labels.bincount())
