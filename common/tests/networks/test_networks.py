"""The networks: their shapes, their parameters, and that only the norm differs between norms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common.networks.blocks import Residual
from common.networks.registry import NETWORKS, build, count_parameters
from common.norms import KINDS
from common.settings import LESSONS

EVERY = [(name, norm) for name, network in NETWORKS.items() for norm in network.norms]
ANY_SIZE = ("course", "skip-48k", "wide-31k-adaptive")
NORM_LAYERS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def norm_layers(model):
    return [module for module in model.modules() if isinstance(module, NORM_LAYERS)]


# The registry


@pytest.mark.parametrize(("network", "norm"), EVERY)
def test_every_network_learns_from_a_batch(network, norm):
    model = build(network, norm)
    output = model(torch.randn(4, 3, 32, 32))
    assert output.shape == (4, 10)
    nn.functional.cross_entropy(output, torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("network", NETWORKS)
def test_output_is_what_the_registry_says(network):
    model = build(network, None).eval()
    sums = model(torch.randn(4, 3, 32, 32)).exp().sum(1)
    is_a_distribution = torch.allclose(sums, torch.ones(4), atol=1e-5)
    assert NETWORKS[network].output == ("log-probabilities" if is_a_distribution else "logits")


def test_registry_is_complete_and_frozen():
    assert set(NETWORKS) >= {
        *("course", "plain-18k", "plain-47k", "plain-11k", "plain-27k", "plain-44k"),
        *("wide-31k", "wide-31k-adaptive", "skip-48k"),
    }
    for network in NETWORKS.values():
        assert set(network.norms) <= set(KINDS)
        assert network.default_norm in network.norms
        assert network.source
        assert "\n" not in network.description
    with pytest.raises(AttributeError):
        NETWORKS["course"].output = "probabilities"


def test_no_norm_means_the_networks_own():
    assert norm_layers(build("plain-11k", None))[0].num_groups == 2
    assert isinstance(norm_layers(build("plain-47k", None))[0], nn.LayerNorm)
    assert isinstance(norm_layers(build())[0], nn.BatchNorm2d)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("network", NETWORKS)
def test_any_number_of_classes(network, classes):
    model = build(network, None, classes=classes)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, classes)


@pytest.mark.parametrize("size", [16, 32, 40, 64])
@pytest.mark.parametrize("network", [*ANY_SIZE, "plain-18k", "plain-11k"])
def test_image_sizes(network, size):
    model = build(network, None, image_size=size)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(16, 16), (17, 33), (24, 40)])
@pytest.mark.parametrize("network", ANY_SIZE)
def test_pooling_that_adapts_takes_any_height_and_width(network, shape):
    assert build(network)(torch.randn(2, 3, *shape)).shape == (2, 10)


@pytest.mark.parametrize("size", [20, 28, 35])
def test_the_window_of_the_wide_network_fits_its_range_of_sizes(size):
    model = build("wide-31k", image_size=size)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(40, 40), (32, 40), (24, 32)])
@pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(ANY_SIZE)))
def test_a_network_of_fixed_size_names_the_size(network, shape):
    model = build(network, None)
    with pytest.raises(ValueError, match=rf"32×32 pixels, got {shape[0]}×{shape[1]}"):
        model(torch.randn(2, 3, *shape))


# Errors


def test_unknown_network_lists_the_known():
    with pytest.raises(ValueError, match=r"'resnet'.*course, plain-18k, .*skip-48k"):
        build("resnet")


@pytest.mark.parametrize(
    ("network", "norm", "offered"),
    [
        ("course", "instance", "batch, group, layer, none"),
        ("plain-47k", "group", "layer"),
        ("skip-48k", "none", "batch, group, layer"),
    ],
)
def test_a_norm_that_is_not_offered_lists_the_offered(network, norm, offered):
    with pytest.raises(ValueError, match=rf"{network}.*{norm}.*Offered: {offered}\."):
        build(network, norm)


@pytest.mark.parametrize("classes", [1, 0, -3, 2.5, "10"])
def test_too_few_classes(classes):
    with pytest.raises(ValueError, match=r"classes is .* from 2 up"):
        build(classes=classes)


@pytest.mark.parametrize("network", ["course", "wide-31k", "plain-47k"])
@pytest.mark.parametrize("image_size", [15, 0, (32, 32)])
def test_too_small_an_image(network, image_size):
    with pytest.raises(ValueError, match=r"image_size is .* from 16 up"):
        build(network, None, image_size=image_size)


@pytest.mark.parametrize("network", ["plain-47k", "plain-27k", "plain-44k"])
@pytest.mark.parametrize("image_size", [16, 40])
def test_layer_norm_per_position_is_for_one_size(network, image_size):
    with pytest.raises(ValueError, match=r"32×32 only: its LayerNorm over \[C, H, W\]"):
        build(network, "layer", image_size=image_size)


@pytest.mark.parametrize("image_size", [16, 19, 36])
def test_the_wide_network_names_its_range_of_sizes(image_size):
    with pytest.raises(ValueError, match="from 20×20 to 35×35 only: its average pooling"):
        build("wide-31k", image_size=image_size)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="5 groups"):
        build("course", "group", groups=5)


# Only the norm differs


SEVERAL_NORMS = [name for name, network in NETWORKS.items() if len(network.norms) > 1]


@pytest.mark.parametrize("network", SEVERAL_NORMS)
def test_the_norm_is_the_only_difference(network):
    """Same names, shapes and first values of every parameter, those of the norms included."""
    models = {}
    for norm in ("batch", "group", "layer"):
        torch.manual_seed(1)
        models[norm] = build(network, norm)
    batch = dict(models["batch"].named_parameters())
    for norm in ("group", "layer"):
        other = dict(models[norm].named_parameters())
        assert other.keys() == batch.keys()
        for name, parameter in other.items():
            assert torch.equal(parameter, batch[name]), name
        for (name, a), (_, b) in zip(
            models["batch"].named_modules(), models[norm].named_modules(), strict=True
        ):
            if isinstance(a, nn.BatchNorm2d):
                assert isinstance(b, nn.GroupNorm), name
                assert a.eps == b.eps, name
            elif not list(a.children()):
                assert repr(a) == repr(b), name


@pytest.mark.parametrize("network", SEVERAL_NORMS)
def test_the_three_norms_cost_the_same_parameters(network):
    assert len({count_parameters(build(network, norm)) for norm in LESSONS}) == 1


def test_no_norm_takes_away_the_norms_and_leaves_a_shift_to_the_convolutions():
    torch.manual_seed(1)
    with_norm = build(norm="layer")
    torch.manual_seed(1)
    plain = build(norm="none")
    without = dict(plain.named_parameters())
    of_norms = {id(p) for layer in norm_layers(with_norm) for p in layer.parameters()}
    rest = {name: p for name, p in with_norm.named_parameters() if id(p) not in of_norms}
    assert all(torch.equal(rest[name], without[name]) for name in rest)
    shifts = {name: value for name, value in without.items() if name not in rest}
    convolutions = {f"{n}.bias" for n, m in plain.named_modules() if isinstance(m, nn.Conv2d)}
    assert shifts.keys() == convolutions
    assert not any(value.any() for value in shifts.values())
    assert count_parameters(plain) < count_parameters(with_norm)


def test_a_seed_gives_the_same_network_again():
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in build().parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("norm", KINDS)
def test_the_course_network_keeps_to_its_budget(norm):
    assert count_parameters(build(norm=norm)) < 50_000


def test_counting_includes_frozen_parameters_and_leaves_out_buffers():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    layer[0].weight.requires_grad_(False)
    assert count_parameters(layer) == 3 * 4 * 9 + 4 + 2 * 4


def test_counting_counts_a_shared_parameter_once():
    layer = nn.Linear(5, 5, bias=False)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 25


# What the tables of the field's networks do not show


@pytest.mark.parametrize(
    ("network", "groups"), [("plain-18k", 4), ("plain-11k", 2), ("wide-31k", 4), ("skip-48k", 2)]
)
def test_numbers_of_groups(network, groups):
    assert {layer.num_groups for layer in norm_layers(build(network, "group"))} == {groups}
    assert {layer.num_groups for layer in norm_layers(build(network, "layer"))} == {1}
    assert {layer.num_groups for layer in norm_layers(build(network, "group", groups=1))} == {1}


def test_two_groups_is_the_most_that_the_widths_of_plain_11k_allow():
    assert (
        math.gcd(*(layer.num_channels for layer in norm_layers(build("plain-11k", "group")))) == 2
    )


@pytest.mark.parametrize(
    ("network", "kind", "probability", "count"),
    [
        ("plain-18k", nn.Dropout, 0.05, 8),
        ("plain-27k", nn.Dropout, 0.05, 8),
        ("wide-31k", nn.Dropout, 0.01, 8),
        ("skip-48k", nn.Dropout2d, 0.0, 19),
    ],
)
def test_dropout(network, kind, probability, count):
    layers = [m for m in build(network, None).modules() if isinstance(m, kind)]
    assert [layer.p for layer in layers] == [probability] * count


@pytest.mark.parametrize("network", sorted(set(NETWORKS) - {"course"}))
def test_no_convolution_of_the_field_has_a_bias(network):
    layers = [m for m in build(network, None).modules() if isinstance(m, nn.Conv2d)]
    assert layers
    assert all(layer.bias is None for layer in layers)


@pytest.mark.parametrize(
    ("network", "count"), [("plain-18k", 3), ("plain-47k", 3), ("wide-31k", 0), ("skip-48k", 9)]
)
def test_number_of_skips(network, count):
    assert sum(isinstance(m, Residual) for m in build(network, None).modules()) == count


def test_a_residual_adds_its_input_or_its_shortcut():
    x = torch.randn(2, 4, 5, 5)
    body, shortcut = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
    assert torch.equal(Residual(body)(x), body(x) + x)
    assert torch.equal(Residual(body, shortcut)(x), body(x) + shortcut(x))


def test_nothing_follows_the_sum_in_plain_and_relu_follows_it_in_skip():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 8, 8)
    assert build("plain-18k").block5(x).min() < 0
    assert build("skip-48k").conv3(x).min() == 0


@pytest.mark.parametrize(("network", "blind"), [("wide-31k", True), ("wide-31k-adaptive", False)])
def test_what_the_average_pooling_of_the_wide_network_sees(network, blind):
    model = build(network).eval()
    last = model[-1]
    maps = torch.randn(1, 28, 7, 7)
    changed = maps.clone()
    changed[:, :, 4:, :] += 1
    changed[:, :, :, 4:] += 1
    assert torch.allclose(last(maps), last(changed)) == blind


@pytest.mark.parametrize(
    ("network", "million"),
    [
        ("plain-18k", 5.44),
        ("plain-47k", 1.20),
        ("plain-11k", 1.20),
        ("plain-27k", 0.53),
        ("wide-31k", 6.23),
        ("skip-48k", 7.68),
    ],
)
def test_multiplications_for_an_image(network, million):
    """Strides, paddings and poolings in their places: the cost depends on all of them."""
    model = build(network, None).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 32, 32))
    assert counter.get_total_flops() / 2e6 == pytest.approx(million, abs=0.006)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [("plain-47k", 36_336), ("plain-27k", 23_376), ("plain-44k", 32_416), ("wide-31k", 360)],
)
def test_parameters_in_the_norms(network, parameters):
    assert sum(count_parameters(layer) for layer in norm_layers(build(network, None))) == parameters


def test_skip_48k_module_by_module():
    """Name, parameters and output shape of each module, and its layers in order."""
    model = build("skip-48k")
    shapes = {}
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    model(torch.randn(2, 3, 32, 32))
    rows = [
        (name, count_parameters(module), shapes[name]) for name, module in model.named_children()
    ]
    assert rows == [
        ("conv1", 232, (8, 32, 32)),
        ("conv2", 1_184, (8, 32, 32)),
        ("tran1", 3_648, (16, 16, 16)),
        ("conv3", 4_672, (16, 16, 16)),
        ("conv4", 4_672, (16, 16, 16)),
        ("conv5", 4_672, (16, 16, 16)),
        ("tran2", 4_928, (16, 8, 8)),
        ("conv6", 4_672, (16, 8, 8)),
        ("conv7", 4_672, (16, 8, 8)),
        ("conv8", 14_464, (32, 8, 8)),
        ("tran3", 320, (10,)),
    ]
    assert len(norm_layers(model)) == 19
    assert sum(count_parameters(layer) for layer in norm_layers(model)) == 624
    shortcuts = {
        name: (m.shortcut.kernel_size, m.shortcut.stride)
        for name, m in model.named_modules()
        if isinstance(m, Residual) and m.shortcut is not None
    }
    assert shortcuts == {
        "tran1.0": ((1, 1), (2, 2)),
        "tran2.0": ((1, 1), (2, 2)),
        "conv8.0": ((1, 1), (1, 1)),
    }
