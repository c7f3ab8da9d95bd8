"""Images as they come back from JPEG files, and the study that trains on them."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from common import cli
from common.data.compression import compress, describe
from common.data.images import load_images
from common.data.types import ImageSet
from common.experiments.field import field_runs
from common.training.history import History


@pytest.fixture(scope="module")
def data():
    full = load_images("shapes")
    few = ImageSet(full.train.images[:24], full.train.labels[:24])
    return replace(full, train=few, test=ImageSet(full.test.images[:8], full.test.labels[:8]))


def change(one, other):
    return (one.double() - other.double()).square().mean().sqrt().item()


def test_only_the_pixels_change(data):
    new = compress(data, 75)
    assert new.train.images.shape == data.train.images.shape
    assert new.train.images.dtype == torch.uint8
    assert torch.equal(new.train.labels, data.train.labels)
    assert torch.equal(new.test.labels, data.test.labels)
    assert new.classes == data.classes
    assert new.name == f"{data.name}, stored as JPEG 75"
    assert 0 < change(new.train.images, data.train.images) < 20
    assert change(new.test.images, data.test.images) > 0


def test_mean_and_deviation_are_those_of_the_new_images(data):
    new = compress(data, 20)
    pixels = new.train.images.double() / 255
    assert new.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert new.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    assert new.std != data.std


def test_a_lower_quality_changes_more(data):
    changes = [change(compress(data, q).train.images, data.train.images) for q in (10, 50, 95)]
    assert changes == sorted(changes, reverse=True)


def test_images_that_were_jpegs_before_lose_as_much_again(data):
    before = []
    for image in data.train.images:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=75)
        before.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    stored = ImageSet(torch.stack(before), data.train.labels)
    again = compress(replace(data, train=stored), 75).train.images
    first = change(compress(data, 75).train.images, data.train.images)
    assert change(again, stored.images) > 0.4 * first


@pytest.mark.parametrize("quality", [0, 96, -5])
def test_a_quality_that_jpeg_does_not_know_is_refused(data, quality):
    with pytest.raises(ValueError, match=r"choose 1 .* to 95"):
        compress(data, quality)
    with pytest.raises(ValueError, match=r"choose 1 .* to 95"):
        field_runs(jpeg=quality)


def test_the_study_s_runs_have_names_of_their_own():
    plain, compressed = field_runs(["course"]), field_runs(["course"], jpeg=75)
    assert not {run.name for run in plain} & {run.name for run in compressed}
    assert compressed[0].name == "plain-18k-batch-course-jpeg75-seed1"
    assert all(run.jpeg == 75 for run in compressed)


def test_a_line_says_what_compression_does_to_the_pixels(data):
    line = describe(data, 50)
    assert line.startswith(f"Stored as JPEG 50, the pixels of {data.title} change by ")
    assert f"{data.std[0]:.4f}" in line


def test_the_command_trains_on_compressed_images_and_says_so(tmp_path, capsys):
    arguments = "field --quick --recipes course --networks plain-11k --seeds 1 --jobs 1 --jpeg 60"
    assert cli.main([*arguments.split(), "--out", str(tmp_path)]) == 0
    history = History.load(tmp_path / "plain-11k-group-course-jpeg60-seed1.json")
    assert history.dataset == "shapes, stored as JPEG 60 – quick mode"
    assert "Stored as JPEG 60" in capsys.readouterr().out
