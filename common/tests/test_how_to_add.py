"""The code of ``common/README.md``: adding a norm, a network, images and a study, as it stands."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from common.networks.registry import NETWORKS, build, count_parameters
from common.norms import KINDS, LayerNorm
from common.settings import ROOT

PAGE = (ROOT / "common" / "README.md").read_text(encoding="utf-8")
# Heading -> what stands below it, up to the next heading.
SECTIONS = dict(re.findall(r"^#+ ([^\n]+)\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def run(heading: str) -> dict:
    """Run the Python below a heading; the names it has defined."""
    (code,) = re.findall(r"^```python\n(.*?)^```", SECTIONS[heading], re.MULTILINE | re.DOTALL)
    names = {"__name__": "how_to_add"}
    exec(compile(code, f"common/README.md, {heading}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def as_it_was():
    """What the page adds is for the length of a test."""
    kept = [(table, dict(table)) for table in (KINDS, NETWORKS)]
    yield
    for table, before in kept:
        table.clear()
        table.update(before)


def test_every_python_block_of_the_page_is_run_here():
    blocks = [heading for heading, text in SECTIONS.items() if "```python" in text]
    assert blocks == ["A norm", "A network", "A data set", "A study"]


def test_a_norm_is_added_to_the_course_s_network():
    names = run("A norm")
    assert names["history"].norm == "rms"
    assert names["history"].finished
    assert any(isinstance(module, names["RMSNorm"]) for module in names["model"].modules())
    # A gamma a channel and no beta: what layer norm costs, less one parameter a channel.
    rms, layer = (build("course", norm) for norm in ("rms", "layer"))
    gammas = sum(m.weight.numel() for m in rms.modules() if isinstance(m, names["RMSNorm"]))
    assert count_parameters(layer) - count_parameters(rms) == gammas > 0
    # Without a mean to subtract it is layer norm.
    x = torch.randn(4, 6, 5, 5)
    x -= x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(names["RMSNorm"](6)(x), LayerNorm(6, over="group")(x))


def test_a_network_is_added_and_trains_with_a_norm(capsys):
    names = run("A network")
    assert "GroupNorm" in capsys.readouterr().out
    assert names["history"].finished
    assert names["history"].network == "tiny"
    for norm in NETWORKS["tiny"].norms:
        model = build("tiny", norm, classes=3)
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)
    assert len({count_parameters(build("tiny", norm)) for norm in NETWORKS["tiny"].norms}) == 1
    assert any(isinstance(module, nn.GroupNorm) for module in build("tiny", "group").modules())


def test_a_folder_of_grey_pictures_is_a_data_set(tmp_path, monkeypatch):
    grey = np.random.default_rng(0)
    for split, count in (("train", 26), ("test", 4)):
        for number, name in enumerate(("coat", "dress", "hat", "shoe", "tie")):
            folder = tmp_path / "my-images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = grey.integers(0, 50, (28, 28), dtype=np.uint8) + 50 * number
                Image.fromarray(pixels.astype(np.uint8), mode="L").save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NORMS_QUICK", "0")  # quick mode would show shapes
    monkeypatch.setenv("NORMS_DATA", str(tmp_path))
    names = run("A data set")
    images = names["images"].train.images
    assert names["images"].classes == ("coat", "dress", "hat", "shoe", "tie")
    assert images.shape == (130, 3, 28, 28)
    assert torch.equal(images[:, 0], images[:, 2])
    assert names["history"].finished
    assert names["history"].dataset == "my-images"


def test_a_study_is_run_and_judged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("A study")
    assert {(line.condition, line.seed) for line in names["kept"].lines} >= {
        ("batch", 1),
        ("layer", 2),
    }
    assert names["verdict"].effect != 0
    assert names["verdict"].interval in capsys.readouterr().out
    assert (tmp_path / "my-study" / "spread.jsonl").exists()
