"""The candidates of the architecture search: what they are built of, and what is refused."""

from dataclasses import replace

import pytest
import torch

from common.networks import candidates
from common.networks.candidates import CANDIDATES, Candidate, Stage
from common.networks.registry import count_parameters


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
        ({"block": "gated", "squeeze": 4}, "no place"),
    ],
)
def test_a_candidate_that_cannot_be_built_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(CANDIDATES["inverted"], **changes)
