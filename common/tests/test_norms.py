"""The course's own norms equal PyTorch's, and the facts the lessons state about norms hold."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from common.norms import KINDS, BatchNorm2d, GroupNorm, LayerNorm, make_norm, normalise

SHAPES = list(itertools.product((1, 2, 5), (1, 4, 6), (1, 3), (2, 4)))  # (N, C, H, W)
DTYPES = (torch.float32, torch.float64)


class ChannelsLast(nn.Module):
    """`nn.LayerNorm(C)` on channels moved to the last axis, as ConvNeXt's code has it."""

    def __init__(self, channels: int, eps: float = 1e-5, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps, elementwise_affine)
        self.weight, self.bias = self.norm.weight, self.norm.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def pairs(shape: tuple[int, ...], affine: bool = True) -> list[tuple[str, nn.Module, nn.Module]]:
    """(name, the course's layer, PyTorch's) for every norm that fits inputs of `shape`."""
    _, c, h, w = shape
    found = [
        ("batch", BatchNorm2d(c, affine=affine), nn.BatchNorm2d(c, affine=affine)),
        (
            "layer over image",
            LayerNorm((c, h, w), affine=affine),
            nn.LayerNorm([c, h, w], elementwise_affine=affine),
        ),
        (
            "layer over channels",
            LayerNorm(c, over="channels", affine=affine),
            ChannelsLast(c, elementwise_affine=affine),
        ),
        (
            "layer as a group",
            LayerNorm(c, over="group", affine=affine),
            nn.GroupNorm(1, c, affine=affine),
        ),
    ]
    for groups in (g for g in range(1, c + 1) if c % g == 0):
        name = f"group {groups}"
        found.append(
            (name, GroupNorm(groups, c, affine=affine), nn.GroupNorm(groups, c, affine=affine))
        )
    return found


def randomise(ours: nn.Module, theirs: nn.Module) -> None:
    """Give both layers the same gamma and beta, none of them at its initial value."""
    with torch.no_grad():
        for name in ("weight", "bias"):
            if getattr(ours, name) is not None:
                values = torch.randn_like(getattr(ours, name)) + 0.5
                getattr(ours, name).copy_(values)
                getattr(theirs, name).copy_(values)


def same(ours: torch.Tensor, theirs: torch.Tensor, **tolerance: float) -> None:
    """Assert that two results agree to a few rounding errors of their dtype."""
    if not tolerance:
        small = ours.dtype == torch.float32
        tolerance = {"rtol": 2e-4, "atol": 2e-5} if small else {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(ours, theirs, **tolerance)


def compare(ours: nn.Module, theirs: nn.Module, x: torch.Tensor, **tolerance: float) -> None:
    """Assert that outputs and the gradients to input, weight and bias agree."""
    x1, x2 = x.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
    y1, y2 = ours(x1), theirs(x2)
    same(y1, y2, **tolerance)
    direction = torch.randn_like(y1)
    ours.zero_grad()
    theirs.zero_grad()
    y1.backward(direction)
    y2.backward(direction)
    same(x1.grad, x2.grad, **tolerance)
    for name in ("weight", "bias"):
        if getattr(ours, name) is not None:
            same(getattr(ours, name).grad, getattr(theirs, name).grad, **tolerance)


# Equal to PyTorch


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward_and_gradients_equal_pytorch(dtype, affine):
    for shape in SHAPES:
        x = 2 * torch.randn(shape, dtype=dtype) + 3
        for name, ours, theirs in pairs(shape, affine):
            if name == "batch" and x.numel() == shape[1]:
                continue  # refused, and tested so below
            if name.startswith("group") and x.numel() == int(name.split()[1]):
                continue  # PyTorch refuses one value a group, though the formula gives beta
            # With 2 values in S the gradient is a difference of nearly equal numbers.
            tolerance = {"rtol": 2e-3, "atol": 2e-3} if dtype == torch.float32 else {}
            ours.to(dtype), theirs.to(dtype)
            randomise(ours, theirs)
            compare(ours, theirs, x, **tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ordinary_sizes_agree_closely(dtype):
    x = 2 * torch.randn(8, 12, 7, 5, dtype=dtype) + 3
    for _, ours, theirs in pairs(x.shape):
        ours.to(dtype), theirs.to(dtype)
        randomise(ours, theirs)
        compare(ours, theirs, x)


@pytest.mark.parametrize("momentum", [0.1, 0.3, 0.0, 1.0, None])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_running_statistics_equal_pytorch_over_several_steps(dtype, momentum):
    for shape in [(4, 3, 2, 2), (2, 1, 1, 1), (1, 5, 1, 2), (3, 4, 5, 6)]:
        ours = BatchNorm2d(shape[1], momentum=momentum).to(dtype)
        theirs = nn.BatchNorm2d(shape[1], momentum=momentum).to(dtype)
        randomise(ours, theirs)
        for step in range(5):
            x = (step + 1) * torch.randn(shape, dtype=dtype) - step
            same(ours(x), theirs(x), rtol=2e-4, atol=2e-4)
            same(ours.running_mean, theirs.running_mean)
            same(ours.running_var, theirs.running_var)
            assert ours.num_batches_tracked == theirs.num_batches_tracked == step + 1
        assert not ours.running_mean.requires_grad
        assert not ours.running_var.requires_grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_eval_mode_equals_pytorch_and_leaves_the_running_statistics_alone(dtype):
    ours, theirs = BatchNorm2d(3).to(dtype), nn.BatchNorm2d(3).to(dtype)
    randomise(ours, theirs)
    for _ in range(3):
        x = torch.randn(4, 3, 2, 2, dtype=dtype) + 1
        ours(x), theirs(x)
    ours.eval(), theirs.eval()
    before = copy.deepcopy(ours.state_dict())
    compare(ours, theirs, 5 * torch.randn(2, 3, 4, 4, dtype=dtype))
    compare(ours, theirs, torch.randn(1, 3, 1, 1, dtype=dtype))  # one value a channel is fine here
    with torch.no_grad():
        same(ours(x), theirs(x))
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_mode_does_not_depend_on_the_gradient_mode():
    layer, x = BatchNorm2d(3), torch.randn(4, 3, 2, 2)
    with_gradient = layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), with_gradient)
    layer.eval()
    with_gradient = layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), with_gradient)


def test_two_values_a_channel():
    for shape in [(2, 3, 1, 1), (1, 3, 2, 1), (1, 3, 1, 2)]:
        ours, theirs = BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
        compare(ours, theirs, torch.randn(shape, dtype=torch.float64))
        same(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("mean", [1e3, -1e3])
def test_a_mean_of_1000_with_a_spread_of_1_keeps_its_precision(mean):
    x = torch.randn(16, 8, 8, 8) + mean
    for name, ours, _ in pairs(x.shape):
        exact = copy.deepcopy(ours).double()(x.double())
        assert (ours(x) - exact).abs().max() < 2e-3, name
        if name == "batch":
            variance = x.double().var((0, 2, 3))
            expected = 0.9 + 0.1 * variance
            same(ours.running_var.double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_gradcheck(mode):
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    for name, ours, _ in pairs(x.shape):
        ours.double().train(mode)
        with torch.no_grad():
            ours.weight.uniform_(0.5, 2)

        def run(x, weight, bias, layer=ours):
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

        parameters = [p.detach().clone().requires_grad_() for p in (ours.weight, ours.bias)]
        assert torch.autograd.gradcheck(run, (x, *parameters)), name


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: x.flip(1).flip(1),
        lambda x: torch.stack([x, x], -1)[..., 0],
        lambda x: x[:1].expand(3, -1, -1, -1),
    ],
    ids=["channels_last", "transposed", "flipped", "strided", "expanded"],
)
def test_memory_layout_does_not_matter(arrange):
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    for name, ours, theirs in pairs(x.shape):
        ours.double(), theirs.double()
        randomise(ours, theirs)
        arranged = arrange(x)
        before = arranged.clone()
        same(ours(arranged), theirs(before.contiguous()))
        assert torch.equal(arranged, before), f"{name} changed its input"


def test_state_dicts_are_exchangeable_both_ways():
    x = torch.randn(4, 6, 3, 3)
    for name, ours, theirs in pairs(x.shape):
        if name == "layer over channels":
            theirs = theirs.norm  # nn.LayerNorm(C) itself, without the axes moved around it
        for source, target in [(ours, theirs), (theirs, ours)]:
            with torch.no_grad():
                for value in source.state_dict().values():
                    value.copy_(torch.randint(1, 9, value.shape))
            target.load_state_dict(source.state_dict(), strict=True)
            for key, value in source.state_dict().items():
                assert torch.equal(target.state_dict()[key], value), (name, key)
                assert target.state_dict()[key].dtype == value.dtype


def test_state_dicts_without_affine_are_exchangeable():
    for _, ours, theirs in pairs((2, 4, 3, 3), affine=False):
        theirs.load_state_dict(ours.state_dict(), strict=True)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        assert sum(p.numel() for p in ours.parameters()) == 0


def test_eps_is_used_inside_the_root():
    x = 1e-3 * torch.randn(4, 6, 3, 3, dtype=torch.float64)
    for eps in (1e-8, 1e-5, 1e-2):
        theirs = nn.functional.group_norm(x, 3, eps=eps)
        same(GroupNorm(3, 6, eps=eps, affine=False)(x), theirs)
        theirs = nn.functional.batch_norm(x, None, None, training=True, eps=eps)
        same(BatchNorm2d(6, eps=eps, affine=False).double()(x), theirs)


def test_a_constant_input_gives_beta():
    x = torch.full((2, 4, 3, 3), 7.0, dtype=torch.float64)
    for _, ours, theirs in pairs(x.shape):
        ours.double(), theirs.double()
        randomise(ours, theirs)
        compare(ours, theirs, x)
        same(ours(x) - ours.scale_and_shift(torch.zeros_like(x)), torch.zeros_like(x))


def test_normalised_values_have_mean_0_and_variance_1():
    x = 5 * torch.randn(4, 6, 8, 8, dtype=torch.float64) + 9
    for axes in [(0, 2, 3), (1, 2, 3), (2, 3), (1,), (0, 1, 2, 3)]:
        y = normalise(x, axes, eps=0)
        assert y.mean(axes).abs().max() < 1e-12
        assert (y.var(axes, correction=0) - 1).abs().max() < 1e-12


# What is refused


def test_make_norm_gives_the_layers_of_pytorch():
    layers = {kind: make_norm(kind, 8, groups=2) for kind in KINDS}
    assert isinstance(layers["batch"], nn.BatchNorm2d)
    assert isinstance(layers["group"], nn.GroupNorm)
    assert layers["group"].num_groups == 2
    assert isinstance(layers["layer"], nn.GroupNorm)
    assert layers["layer"].num_groups == 1
    assert isinstance(layers["none"], nn.Identity)


def test_make_norm_names_the_known_kinds():
    with pytest.raises(ValueError, match=r"'bacth'.*batch, group, layer, none"):
        make_norm("bacth", 8)


@pytest.mark.parametrize("groups", [0, -1, 5, 12])
@pytest.mark.parametrize("make", [lambda g: make_norm("group", 6, g), lambda g: GroupNorm(g, 6)])
def test_groups_must_divide_the_channels(make, groups):
    with pytest.raises(ValueError, match=r"6 channels.*choose groups from 1, 2, 3, 6$"):
        make(groups)


@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_needs_channels(kind):
    with pytest.raises(ValueError, match=r"at least one channel.*channels=0"):
        make_norm(kind, 0)


def test_batch_norm_refuses_one_value_a_channel_in_train_mode():
    layer = BatchNorm2d(3)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match=r"more than one value a channel.*\(1, 3, 1, 1\).*eval"):
        layer(torch.zeros(1, 3, 1, 1))
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert layer.eval()(torch.zeros(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_another_number_of_channels_axes_or_dtype_is_refused():
    for layer in [BatchNorm2d(3), GroupNorm(3, 3), LayerNorm((3, 2, 2)), LayerNorm(3, "channels")]:
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(2, 4, 2, 2\)"):
            layer(torch.zeros(2, 4, 2, 2))
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(2, 3\)"):
            layer(torch.zeros(2, 3))
        with pytest.raises(TypeError, match=r"uint8.*float"):
            layer(torch.zeros(2, 3, 2, 2, dtype=torch.uint8))


def test_layer_norm_names_what_it_can_do():
    with pytest.raises(ValueError, match=r"'pixels'.*image, channels, group"):
        LayerNorm(3, over="pixels")
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        LayerNorm(3)
    with pytest.raises(ValueError, match=r"number of channels"):
        LayerNorm((3, 2, 2), over="channels")
    with pytest.raises(ValueError, match=r"at least 1"):
        LayerNorm((3, 0, 2))


# The facts the lessons state


def test_batch_mates_change_batch_norm_and_no_other_norm():
    image, others, strangers = (
        torch.randn(1, 8, 4, 4),
        torch.randn(3, 8, 4, 4),
        torch.rand(3, 8, 4, 4),
    )
    for name, ours, theirs in pairs((4, 8, 4, 4)):
        for layer in (ours, theirs):
            first = layer(torch.cat([image, others]))[:1]
            second = layer(torch.cat([image, strangers]))[:1]
            if name == "batch":
                assert (first - second).abs().max() > 0.1
                layer.eval()
                first = layer(torch.cat([image, others]))[:1]
                second = layer(torch.cat([image, strangers]))[:1]
            same(first, second)


def test_one_group_is_layer_norm_at_the_start_but_not_after_training():
    x = torch.randn(4, 6, 5, 5)
    one_group, layer = nn.GroupNorm(1, 6), nn.LayerNorm([6, 5, 5])
    same(one_group(x), layer(x))
    # A scale for a single position is beyond what a scale per channel can do.
    with torch.no_grad():
        layer.weight[2, 3, 4] = 5
    assert (one_group(x) - layer(x)).abs().max() > 0.1


def test_as_many_groups_as_channels_is_instance_norm():
    x = torch.randn(4, 6, 5, 5)
    same(nn.GroupNorm(6, 6)(x), nn.InstanceNorm2d(6)(x))
    same(GroupNorm(6, 6)(x), nn.InstanceNorm2d(6)(x))


def test_parameter_counts():
    c, h, w = 16, 8, 4

    def count(layer):
        return sum(p.numel() for p in layer.parameters())

    for kind in ("batch", "group", "layer"):
        assert count(make_norm(kind, c)) == 2 * c
    assert count(make_norm("none", c)) == 0
    for groups in (1, 2, 4, 8, 16):
        assert count(GroupNorm(groups, c)) == count(nn.GroupNorm(groups, c)) == 2 * c
    assert count(BatchNorm2d(c)) == 2 * c
    assert count(LayerNorm(c, over="channels")) == count(LayerNorm(c, over="group")) == 2 * c
    assert count(LayerNorm((c, h, w))) == count(nn.LayerNorm([c, h, w])) == 2 * c * h * w


def test_layer_norm_over_the_image_refuses_another_image_size():
    small, large = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 40, 40)
    with pytest.raises(ValueError, match=r"\(3, 32, 32\).*\(3, 40, 40\).*group"):
        LayerNorm((3, 32, 32))(large)
    with pytest.raises(RuntimeError):
        nn.LayerNorm([3, 32, 32])(large)
    for over in ("channels", "group"):
        layer = LayerNorm(3, over=over)
        assert layer(small).shape == small.shape
        assert layer(large).shape == large.shape


@pytest.mark.parametrize("factor", [0.1, 100.0])
def test_scaling_the_weights_before_a_norm_changes_nothing(factor):
    """The norm divides the scale out again, but for eps, which is set to nothing here."""
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    convolution = nn.Conv2d(3, 6, 3, bias=False).double()
    scaled = copy.deepcopy(convolution)
    with torch.no_grad():
        scaled.weight *= factor
    for name, ours, _ in pairs((4, 6, 6, 6)):
        ours.double().eps = 1e-12
        same(ours(scaled(x)), ours(convolution(x)), rtol=1e-6, atol=1e-6)
        assert (scaled(x) - convolution(x)).abs().max() > 0.1, name


def test_a_bias_before_batch_norm_is_dead():
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    convolution = nn.Conv2d(3, 6, 3).double()
    layer = nn.BatchNorm2d(6).double()
    direction = torch.randn(4, 6, 6, 6, dtype=torch.float64)
    before = layer(convolution(x))
    (before * direction).sum().backward()
    assert convolution.bias.grad.abs().max() < 1e-10 < convolution.weight.grad.abs().max()
    with torch.no_grad():
        convolution.bias += torch.arange(6.0)
        same(layer(convolution(x)), before.detach())
        # Group norm shares one mean among channels, so their differences live on…
        group = nn.GroupNorm(2, 6).double()
        moved = group(convolution(x))
        convolution.bias -= torch.arange(6.0)
        assert (moved - group(convolution(x))).abs().max() > 0.1
        # …but not in instance norm, which has a mean for each channel again.
        instance = nn.GroupNorm(6, 6).double()
        moved = instance(convolution(x))
        convolution.bias += torch.arange(6.0)
        same(moved, instance(convolution(x)))
