"""torchsummary's table: the right rows for the field's networks, and nothing disturbed."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
from torch import nn

from common.networks.registry import build
from common.networks.summary import parameters_missed, skips_missed, summary
from common.settings import ROOT

# One line for each row of the networks' published tables, stage by stage:
#   B channels size convolution norm   a block: Conv2d, ReLU, the norm, Dropout, and the parameters
#                                      of the convolution and of the norm
#   T channels size convolution        a bare 1×1 Conv2d
#   M channels size                    MaxPool2d
#   A channels size                    AvgPool2d
PLAIN_18K = """
B 16 30 432 32
B 32 28 4608 64
T 10 28 320
M 10 14
B 16 14 1440 32
B 16 12 2304 32
B 16 12 2304 32
T 10 12 160
M 10 6
B 16 6 1440 32
B 16 6 2304 32
B 16 6 2304 32
A 16 1
T 10 1 160
"""
PLAIN_47K = """
B 4 30 108 7200
B 8 28 288 12544
T 4 28 32
M 4 14
B 10 14 360 3920
B 16 12 1440 4608
B 16 12 2304 4608
T 10 12 160
M 10 6
B 16 6 1440 1152
B 16 6 2304 1152
B 16 6 2304 1152
A 16 1
T 10 1 160
"""
PLAIN_11K = """
B 4 30 108 8
B 8 28 288 16
T 4 28 32
M 4 14
B 10 14 360 20
B 16 12 1440 32
B 16 12 2304 32
T 10 12 160
M 10 6
B 16 6 1440 32
B 16 6 2304 32
B 16 6 2304 32
A 16 1
T 10 1 160
"""
PLAIN_27K = """
B 4 30 108 7200
B 4 28 144 6272
T 4 28 16
M 4 14
B 8 14 288 3136
B 8 12 576 2304
B 8 12 576 2304
T 4 12 32
M 4 6
B 10 6 360 720
B 10 6 900 720
B 10 6 900 720
A 10 1
T 10 1 100
"""
PLAIN_44K = """
B 4 30 108 7200
B 4 28 144 6272
T 4 28 16
M 4 14
B 16 14 576 6272
B 16 12 2304 4608
B 16 12 2304 4608
T 10 12 160
M 10 6
B 16 6 1440 1152
B 16 6 2304 1152
B 16 6 2304 1152
A 16 1
T 10 1 160
"""
WIDE_31K = """
B 16 30 432 32
B 20 28 2880 40
T 16 28 320
M 16 14
B 20 14 2880 40
B 24 14 4320 48
B 28 14 6048 56
T 16 14 448
M 16 7
B 20 7 2880 40
B 24 7 4320 48
B 28 7 6048 56
A 28 1
T 10 1 280
"""
BN, GN, LN = "BatchNorm2d", "GroupNorm", "LayerNorm"


class Expected(NamedTuple):
    network: str
    norm: str
    table: str
    layer: str
    total: int
    megabytes: str  # input, forward and backward pass, parameters, total


PUBLISHED = [
    Expected("plain-18k", "batch", PLAIN_18K, BN, 18_064, "0.01 1.58 0.07 1.66"),
    Expected("plain-47k", "layer", PLAIN_47K, LN, 47_236, "0.01 0.60 0.18 0.79"),
    Expected("plain-27k", "layer", PLAIN_27K, LN, 27_376, "0.01 0.39 0.10 0.51"),
    Expected("plain-44k", "layer", PLAIN_44K, LN, 44_236, "0.01 0.54 0.17 0.72"),
    Expected("wide-31k", "batch", WIDE_31K, BN, 31_216, "0.01 1.61 0.12 1.74"),
    Expected("wide-31k", "group", WIDE_31K, GN, 31_216, "0.01 1.61 0.12 1.74"),
    Expected("wide-31k", "layer", WIDE_31K, GN, 31_216, "0.01 1.61 0.12 1.74"),
]
OURS = [  # the same widths with a true GroupNorm; sizes follow from the rows
    Expected("plain-18k", "group", PLAIN_18K, GN, 18_064, "0.01 1.58 0.07 1.66"),
    Expected("plain-18k", "layer", PLAIN_18K, GN, 18_064, "0.01 1.58 0.07 1.66"),
    Expected("plain-11k", "group", PLAIN_11K, GN, 11_104, "0.01 0.60 0.04 0.65"),
]


def rows_of(table: str, norm_layer: str) -> list[tuple[str, str, int]]:
    """The table's lines as torchsummary's rows: name, output shape, parameters."""
    rows = []
    for line in table.split("\n")[1:-1]:
        kind, channels, size, *parameters = line.split()
        shape = f"[-1, {channels}, {size}, {size}]"
        layers = {
            "B": ("Conv2d", "ReLU", norm_layer, "Dropout"),
            "T": ("Conv2d",),
            "M": ("MaxPool2d",),
            "A": ("AvgPool2d",),
        }[kind]
        counts = dict(zip(("Conv2d", norm_layer), map(int, parameters), strict=False))
        for layer in layers:
            rows.append((f"{layer}-{len(rows) + 1}", shape, counts.get(layer, 0)))
    return rows


def rows_in(text: str) -> list[tuple[str, str, int]]:
    """The rows of a printed table."""
    rows = []
    for line in text.splitlines():
        if "[" in line:
            name, rest = line.split(maxsplit=1)
            shape, _, parameters = rest.rpartition("]")
            rows.append((name, f"{shape}]", int(parameters.replace(",", ""))))
    return rows


def figures_in(text: str) -> dict[str, str]:
    """What stands below the rows of a printed table: label → figure."""
    return dict(line.split(": ") for line in text.splitlines() if ": " in line)


@pytest.mark.parametrize("expected", PUBLISHED + OURS, ids=lambda e: f"{e.network}-{e.norm}")
def test_table_of_a_field_network(expected):
    text = summary(build(expected.network, expected.norm))
    rows = rows_in(text)
    assert rows == rows_of(expected.table, expected.layer)
    assert len(rows) == 38
    assert (rows[0][0], rows[-1][0]) == ("Conv2d-1", "Conv2d-38")
    figures = figures_in(text)
    assert figures["Total params"] == figures["Trainable params"] == f"{expected.total:,}"
    assert figures["Non-trainable params"] == "0"
    sizes = [figure for label, figure in figures.items() if label.endswith("(MB)")]
    assert " ".join(sizes) == expected.megabytes


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("batch", BN), ("group", GN), ("layer", GN)],
    ids=["batch", "group", "layer"],
)
def test_table_of_the_skip_network(norm, layer):
    text = summary(build("skip-48k", norm))
    block = ["Conv2d", layer, "Dropout2d", "ReLU"]
    plain = [*block, *block]
    shortcut = [*block, *block[:3], "Conv2d", "ReLU"]
    assert [name.split("-")[0] for name, _, _ in rows_in(text)] == [
        *block,
        *plain,  # conv2
        *shortcut,  # tran1
        *plain,
        *plain,
        *plain,
        *shortcut,  # tran2
        *plain,
        *plain,
        *shortcut,  # conv8
        *("AdaptiveAvgPool2d", "Conv2d", "Flatten", "LogSoftmax"),
    ]
    assert figures_in(text)["Total params"] == "48,136"


def test_table_is_printed_nowhere(capfd):
    assert summary(build()).startswith("-----")
    assert capfd.readouterr() == ("", "")


def test_table_follows_the_image_shape():
    assert rows_in(summary(build(), (3, 48, 16)))[0] == ("Conv2d-1", "[-1, 16, 48, 16]", 432)


# Nothing is disturbed


class Recorder:
    """Keeps what a layer returned, graph and all: nothing that can be deep-copied."""

    def __init__(self):
        self.outputs = []

    def __call__(self, module, inputs, output):
        self.outputs.append(output * 1)


@pytest.mark.parametrize("look", [summary, parameters_missed])
@pytest.mark.parametrize("image_shape", [(3, 32, 32), (5, 32, 32)], ids=["succeeds", "fails"])
def test_nothing_is_disturbed(look, image_shape):
    model = build().train()
    model.stem.eval()  # a mixed state, which .train() or .eval() on the whole could not restore
    recorder = Recorder()
    model.stem.register_forward_hook(recorder)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert len(recorder.outputs) == 1

    def everything():
        return {
            "state": {name: value.clone() for name, value in model.state_dict().items()},
            "gradients": [parameter.grad.clone() for parameter in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "hooks": [list(module._forward_hooks.values()) for module in model.modules()],
            "attributes": [sorted(vars(module)) for module in model.modules()],
            "random": torch.get_rng_state(),
            "graph": torch.is_grad_enabled(),
        }

    before = everything()
    if image_shape[0] == 3:
        look(model, image_shape)
    else:
        with pytest.raises(RuntimeError, match="channels"):
            look(model, image_shape)
    torch.testing.assert_close(
        {k: v for k, v in everything().items() if k in ("state", "gradients", "random")},
        {k: v for k, v in before.items() if k in ("state", "gradients", "random")},
        rtol=0,
        atol=0,
    )
    for key in ("modes", "hooks", "attributes", "graph"):
        assert everything()[key] == before[key]
    assert len(recorder.outputs) == 1


class AuxiliaryHead(nn.Module):
    """Has one more layer in training, as some networks do."""

    def __init__(self):
        super().__init__()
        self.main, self.extra = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.main(x)
        return self.extra(x) if self.training else x


def test_the_rows_are_those_of_eval_mode():
    assert len(rows_in(summary(AuxiliaryHead().train()))) == 1


def test_a_model_in_double_precision():
    model = build().double()
    assert rows_in(summary(model)) == rows_in(summary(build()))
    assert next(model.parameters()).dtype == torch.float64


@pytest.mark.parametrize("image_shape", [(32, 32), (3, 0, 32), (3, 32.0, 32), ()])
def test_image_shape_is_checked(image_shape):
    with pytest.raises(ValueError, match="channels, height, width"):
        summary(build(), image_shape)


@pytest.mark.parametrize("model", [nn.Sequential(nn.ReLU()), nn.Conv2d(3, 4, 3)])
def test_a_model_without_rows_that_count_is_an_error(model):
    with pytest.raises(ValueError, match=r"wrap a single layer in nn\.Sequential"):
        summary(model)


def test_a_single_layer_in_a_sequential():
    rows = rows_in(summary(nn.Sequential(nn.Conv2d(3, 4, 3))))
    assert rows == [("Conv2d-1", "[-1, 4, 30, 30]", 112)]


def test_importing_it_brings_no_plotting():
    code = "import sys, common.networks; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


# What the table leaves out


class Scale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * self.gain


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))  # of the model itself, which gets no row
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), Scale(4), nn.BatchNorm2d(4))
        self.unused = nn.Linear(4, 2)

    def forward(self, x):
        return self.layers(x) * self.weight


def test_parameters_missed():
    model = Odd()
    missed = parameters_missed(model)
    assert missed == {"weight": 1, "layers.1.gain": 4, "unused.weight": 8, "unused.bias": 2}
    total = sum(parameter.numel() for parameter in model.parameters())
    shown = int(figures_in(summary(model))["Total params"])
    assert shown + sum(missed.values()) == total


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_nothing_is_missed_in_the_course_network(norm):
    assert parameters_missed(build(norm=norm)) == {}


def test_skips_missed():
    assert skips_missed(build("plain-18k")) == ["block5", "block7", "block8"]
    assert skips_missed(build("wide-31k")) == []
    assert len(skips_missed(build("skip-48k"))) == 9
