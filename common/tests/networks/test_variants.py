"""What the laboratory builds from: other norms, norms replaced, stacks and sequences."""

import copy

import pytest
import torch
from torch import nn

from common.networks import (
    GhostBatchNorm,
    PlainStack,
    QuietBatchNorm,
    RMSNorm2d,
    RowReader,
    ShakenBatchNorm,
    TinyTransformer,
    build,
    replace_norms,
    without_norms,
)


def test_norms_are_replaced_in_the_order_of_use_with_the_shapes_they_see():
    model, seen = build("course", "batch", image_size=16), []

    def make(place, shape):
        seen.append((place, shape))
        return nn.LayerNorm(shape)

    replace_norms(model, make, 16)
    assert [place for place, _ in seen] == list(range(len(seen)))
    assert (seen[0][1], seen[-1][1]) == ((16, 16, 16), (32, 4, 4))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_without_norms_every_convolution_has_a_bias():
    model = without_norms(build("skip-48k", "layer", image_size=16), 16)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert all(layer.bias is not None for layer in convolutions)
    assert not any(isinstance(layer, nn.GroupNorm) for layer in model.modules())
    assert model(torch.randn(2, 3, 16, 16)).isfinite().all()


def test_ghosts_are_batch_norm_of_a_part_each():
    x, ghost, plain = torch.randn(8, 3, 4, 4), GhostBatchNorm(3, 4), nn.BatchNorm2d(3)
    torch.testing.assert_close(ghost(x), torch.cat([plain(x[:4]), plain(x[4:])]))
    torch.testing.assert_close(ghost.running_var, plain.running_var)
    torch.testing.assert_close(ghost.eval()(x), plain.eval()(x))


def test_quiet_batch_norm_uses_the_running_statistics_while_it_trains():
    quiet = QuietBatchNorm(3, warmup=1)
    for _ in range(200):
        quiet(torch.randn(64, 3, 4, 4))
    x = 1 + torch.randn(8, 3, 4, 4)
    before = nn.BatchNorm2d(3).eval()
    before.load_state_dict(quiet.state_dict())
    torch.testing.assert_close(quiet(x), before(x), rtol=1e-3, atol=1e-3)
    # Batch mates change batch norm's output in train mode, and not this one's.
    mates = torch.cat([x[:1], 2 * x[1:]])
    before.load_state_dict(quiet.state_dict())
    torch.testing.assert_close(quiet(mates)[:1], before(x[:1]), rtol=1e-3, atol=1e-3)


def test_shaken_batch_norm_is_another_in_each_step_and_in_the_mean_what_it_is_in_eval_mode():
    x, shaken = torch.randn(8, 3, 4, 4), ShakenBatchNorm(3)
    steps = torch.stack([shaken(x) for _ in range(2000)])
    assert (steps[0] - steps[1]).abs().max() > 0.1
    plain = nn.BatchNorm2d(3)
    plain.load_state_dict(shaken.state_dict())
    torch.testing.assert_close(shaken.eval()(x), 1.125 * plain.eval()(x))
    torch.testing.assert_close(steps.mean(0), 1.125 * plain.train()(x), rtol=0, atol=0.05)


@pytest.mark.parametrize(("over", "axes"), [("channels", (1,)), ("image", (1, 2, 3))])
def test_rms_norm_divides_by_the_root_of_the_mean_square(over, axes):
    y = RMSNorm2d(6, over)(3 + torch.randn(2, 6, 4, 4))
    torch.testing.assert_close(
        y.square().mean(axes), torch.ones(2, 4, 4)[: y.square().mean(axes).shape[0]]
        if over == "channels" else torch.ones(2), rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert y.mean() > 0.5  # not centred


def test_a_plain_stack_has_its_gain_and_its_halvings():
    torch.manual_seed(0)
    one = PlainStack("none", depth=8, halvings=2)
    torch.manual_seed(0)
    four = PlainStack("none", depth=8, halvings=2, gain=4.0)
    torch.testing.assert_close(four.layers[5][0].weight, 4 * one.layers[5][0].weight)
    assert [layer[0].stride[0] for layer in one.layers] == [1, 1, 1, 2, 1, 2, 1, 1]
    assert one.layers[0][0].bias is not None
    assert PlainStack("batch").layers[0][0].bias is None


@pytest.mark.parametrize("norm", ["none", "layer", "group", "batch", "batch-step"])
def test_what_comes_after_a_sequence_s_end_does_not_matter(norm):
    reader = RowReader(norm, features=6, hidden=8, steps=4)
    x, lengths = torch.randn(3, 5, 6), torch.tensor([2, 5, 3])
    other = x.clone()
    other[0, 2:] = 100
    twin = copy.deepcopy(reader)  # with the running statistics of before
    torch.testing.assert_close(reader(x, lengths), twin(other, lengths))
    assert reader(x[:1], lengths[:1]).isfinite().all()  # a batch of one, in train mode


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "group", "batch", "batch-masked"])
@pytest.mark.parametrize("pre", [True, False])
def test_padding_changes_a_transformer_with_plain_batch_norm_alone(norm, pre):
    model = TinyTransformer(norm, tokens=9, longest=6, width=8, pre=pre)
    short = torch.tensor([[1, 2, 3], [4, 5, 6]])
    padded = torch.cat([short, torch.zeros(2, 3, dtype=torch.long)], 1)
    same = torch.allclose(model(short), model(padded)[:, :3], atol=1e-5)
    assert same == (norm != "batch")
