"""Each lesson's model.py: the networks it names, and the norm it builds them with."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from common.networks.registry import NETWORKS
from common.settings import LESSONS, ROOT


def lesson_model(norm):
    """The lesson's model.py, by its path: three modules have this name."""
    path = ROOT / LESSONS[norm] / "model.py"
    spec = importlib.util.spec_from_file_location(f"model_{norm}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("norm", LESSONS)
def test_a_lesson_builds_each_of_its_networks(norm):
    lesson = lesson_model(norm)
    assert norm == lesson.NORM
    assert next(iter(lesson.NETWORKS)) == "course"
    assert lesson.NETWORKS.keys() <= NETWORKS.keys()
    for network in lesson.NETWORKS:
        assert lesson.build(network)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("norm", LESSONS)
def test_a_lesson_builds_with_its_own_norm(norm):
    batch_norm = [isinstance(m, nn.BatchNorm2d) for m in lesson_model(norm).build().modules()]
    groups = {
        m.num_groups for m in lesson_model(norm).build().modules() if hasattr(m, "num_groups")
    }
    assert any(batch_norm) == (norm == "batch")
    assert groups == {"batch": set(), "group": {4}, "layer": {1}}[norm]


def test_every_network_belongs_to_a_lesson():
    named = {network for norm in LESSONS for network in lesson_model(norm).NETWORKS}
    assert named == NETWORKS.keys()


def test_the_group_lesson_has_the_network_that_only_claims_group_norm():
    lesson = lesson_model("group")
    claimed = {type(m) for m in lesson.build("plain-47k").modules()}
    assert nn.LayerNorm in claimed
    assert nn.GroupNorm not in claimed
    assert nn.GroupNorm in {type(m) for m in lesson.build("plain-11k").modules()}


def test_a_lesson_passes_options_on():
    model = lesson_model("group").build("wide-31k-adaptive", groups=2, classes=7, image_size=40)
    assert model(torch.randn(2, 3, 40, 40)).shape == (2, 7)
    assert {m.num_groups for m in model.modules() if isinstance(m, nn.GroupNorm)} == {2}


def test_a_lesson_can_build_with_another_norm():
    model = lesson_model("batch").build(norm="none")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_errors_are_those_of_the_registry():
    with pytest.raises(ValueError, match="Known: course"):
        lesson_model("batch").build("resnet")
    with pytest.raises(ValueError, match="Offered: layer"):
        lesson_model("batch").build("plain-27k")
