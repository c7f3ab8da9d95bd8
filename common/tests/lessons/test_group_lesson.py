"""The helpers of the GroupNorm lesson, and the facts that it shows with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.data.images import load_images


@pytest.fixture
def lesson(lesson_modules):
    with lesson_modules("Group-Norm") as modules:
        yield modules


@pytest.fixture
def utils(lesson):
    return lesson.utils


@pytest.fixture(scope="module")
def data():
    return load_images("shapes")


@pytest.fixture
def net():
    layers = nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    net = nn.Sequential(*layers)
    nn.init.normal_(net[1].weight)
    nn.init.normal_(net[1].bias)
    return net.eval()


def test_another_number_of_groups_keeps_the_weights_and_the_network_it_came_from(utils, net):
    x = torch.randn(4, 3, 8, 8)
    before = net(x)
    for groups, number in ((2, 2), (None, 8)):
        twin = utils.regrouped(net, groups)
        assert twin[1].num_groups == number
        for mine, original in zip(twin.parameters(), net.parameters(), strict=True):
            assert torch.equal(mine, original)
        assert not torch.allclose(twin(x), before, atol=1e-3)
    torch.testing.assert_close(utils.regrouped(net, 4)(x), before)
    torch.testing.assert_close(net(x), before)


def test_groups_cut_across_hold_every_gth_channel(utils, net):
    x = torch.randn(4, 8, 5, 5)
    layer = utils.cut_across(net)[1]
    with torch.no_grad():
        by_hand = torch.empty_like(x)
        for group in range(4):
            members = x[:, group::4]
            mean = members.mean((1, 2, 3), keepdim=True)
            variance = members.var((1, 2, 3), correction=0, keepdim=True)
            by_hand[:, group::4] = (members - mean) / torch.sqrt(variance + 1e-5)
        by_hand = by_hand * net[1].weight.view(-1, 1, 1) + net[1].bias.view(-1, 1, 1)
        torch.testing.assert_close(layer(x), by_hand)
        assert not torch.allclose(net[1](x), by_hand, atol=1e-3)


def test_the_inputs_of_a_layer_are_what_it_normalises(utils, net, data):
    few = data.test.draw(12)
    seen = utils.inputs_of(net, "1", few, data)
    assert seen.shape == (12, 8, 30, 30)
    assert not net[1]._forward_pre_hooks
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    with torch.no_grad():
        torch.testing.assert_close(
            seen, net[0]((few.images / 255 - mean) / std), rtol=1e-3, atol=1e-4
        )


def test_one_channel_a_group_hides_the_class_that_the_channels_strengths_tell(utils):
    labels = torch.arange(200) % 4
    x = torch.randn(200, 8, 6, 6)
    x[torch.arange(200), labels] += 3  # each class has a channel of its own
    assert utils.class_from_strengths(F.group_norm(x, 1), labels) == 100
    assert utils.class_from_strengths(F.group_norm(x, 8), labels) < 60


def test_a_network_without_group_norms_is_refused_and_one_that_has_them_is_named(lesson):
    with pytest.raises(ValueError, match="holds no group norm"):
        lesson.utils.group_norms(lesson.model.build("plain-47k"))
    assert len(lesson.utils.group_norms(lesson.model.build("plain-11k"))) == 8


def test_the_network_that_only_claims_group_norm_is_trained_with_the_norm_it_has(lesson, data):
    net, history = lesson.utils.trained(data, network="plain-47k")
    assert (history.network, history.norm) == ("plain-47k", "layer")
    assert any(isinstance(layer, nn.LayerNorm) for layer in net.modules())
