"""The candidates of the architecture search: what they are built of, and what is refused."""

from dataclasses import replace

import pytest
import torch

from common.networks import candidates
from common.networks.candidates import CANDIDATES, Candidate, Stage
from common.networks.registry import build, count_parameters


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_is_one_network_under_three_norms(name):
    networks = {norm: CANDIDATES[name].build(norm=norm) for norm in ("batch", "group", "layer")}
    assert len({count_parameters(network) for network in networks.values()}) == 1
    for network in networks.values():
        out = network(torch.randn(2, 3, 16, 16))
        assert out.shape == (2, 10)
        out.sum().backward()
        assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_stages_say_where_the_map_shrinks(name):
    candidate = CANDIDATES[name]
    network = candidate.build(norm="none").eval()
    with torch.inference_mode():
        stem = network.stem(torch.randn(1, 3, 32, 32))
        last = network.stages(stem)
    assert stem.shape[1:] == (candidate.stem[-1], *[32 // len(candidate.stem)] * 2)
    halved = candidate.shape.count("/2")
    assert last.shape[1:] == (candidate.stages[-1].channels, *[32 // 2**halved] * 2)


@pytest.mark.parametrize(
    "block", [b for b in candidates.BLOCKS if b not in candidates.WITHOUT_SQUEEZE]
)
def test_squeeze_and_excite_is_in_every_block(block):
    plain = Candidate(block, (Stage(8, 2),), stem=(8,))
    squeezed = replace(plain, squeeze=4).build(norm="batch")
    found = [m for m in squeezed.modules() if isinstance(m, candidates.SqueezeExcite)]
    assert len(found) == 2
    extra = count_parameters(squeezed) - count_parameters(plain.build(norm="batch"))
    assert extra == 2 * (32 * 4 + 4 + 4 * 32 + 32)
    x = torch.randn(2, 32, 4, 4)
    ratio = found[0](x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(x))  # one factor a channel
    assert ((ratio > 0) & (ratio < 1)).all()


def test_a_gate_multiplies_one_half_by_the_other():
    x = torch.randn(2, 6, 4, 4)
    gate = candidates.Gate(torch.nn.Identity(), torch.nn.ReLU())
    assert torch.equal(gate(x), x[:, :3] * x[:, 3:].relu())


def test_the_course_s_network_is_a_candidate_too():
    stages = (Stage(24, 4), Stage(32, 1, 2), Stage(32, 2, expansion=3))
    mine = Candidate("inverted", stages, stem=(16, 24)).build(norm="group").state_dict()
    course = build("course", norm="group").state_dict()
    assert list(mine) == list(course)
    assert [value.shape for value in mine.values()] == [value.shape for value in course.values()]


def test_a_stage_can_have_an_expansion_and_a_kernel_of_its_own():
    network = Candidate("inverted", (Stage(8, 1), Stage(8, 1, 1, 2, 5)), stem=(8,)).build(
        norm="none"
    )
    first, second = (block.body for block in network.stages)
    assert (first[0].out_channels, first[3].kernel_size) == (32, (3, 3))
    assert (second[0].out_channels, second[3].kernel_size) == (16, (5, 5))


def test_still_branches_add_nothing_until_they_have_learnt():
    candidate = Candidate("inverted", (Stage(8, 3),), stem=(8,), still=True)
    x = torch.randn(2, 8, 16, 16)
    assert torch.equal(candidate.build(norm="layer").stages(x), x)
    assert not torch.equal(replace(candidate, still=False).build(norm="layer").stages(x), x)
    assert not torch.equal(candidate.build(norm="none").stages(x), x)  # no γ to start at 0


def test_a_head_widens_what_the_classifier_sees():
    network = Candidate("inverted", (Stage(8, 1),), stem=(8,), head=24).build(norm="group")
    wider, norm, *_, classifier = network.head
    assert (wider.in_channels, wider.kernel_size, wider.out_channels) == (8, (1, 1), 24)
    assert (norm.num_channels, classifier.in_features) == (24, 24)
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_mean_and_maximum_are_pooled_side_by_side():
    x = torch.tensor([[[[1.0, 5.0]], [[2.0, -4.0]]]])
    assert candidates.MeanAndMax()(x).tolist() == [[3.0, -1.0, 5.0, 2.0]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block": "dense"}, "pre-activation"),
        ({"activation": "tanh"}, "silu"),
        ({"kernel": 4}, "odd"),
        ({"stages": ()}, "one stage"),
        ({"stem": (8, 8, 8)}, "one width or two"),
        ({"expansion": 0}, "1 or more"),
        ({"squeeze": -1}, "0 or more"),
        ({"head": -1}, "0 or more"),
        ({"block": "gated", "squeeze": 4}, "no place"),
        ({"pooling": "median"}, "mean-and-max"),
        ({"block": "gated", "still": True}, "inverted blocks"),
    ],
)
def test_a_candidate_that_cannot_be_built_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(CANDIDATES["inverted"], **changes)
