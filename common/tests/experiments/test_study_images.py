"""The images of a study: which it can be run on, and that those of two never mix."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from PIL import Image

from common import cli
from common.data import ImageSet, load_images
from common.data.types import image_data
from common.experiments import laboratory, targets
from common.experiments.benchmark import Plan
from common.experiments.laboratory.bench import bench_images
from common.experiments.laboratory.declare import grid
from common.experiments.laboratory.runner import run_studies
from common.tests.experiments.toy_study import TOY

STUDIES = laboratory.STUDIES
OF_WHAT_IS_SHIPPED = ("curves", "shifts", "size")


def quiet(_):
    """Says nothing."""


def brightness(condition, seed, data, device):
    return {"test": data.train.images.float().mean().item()}


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder of pictures, and what makes all of them as bright as is asked."""
    monkeypatch.setenv("NORMS_DATA", str(tmp_path / "data"))  # where they are kept decoded
    folder = tmp_path / "pets"

    def paint(level: int) -> None:
        for i, (split, kind) in enumerate(np.ndindex(2, 2)):
            place = folder / ("train", "test")[split] / "ab"[kind]
            place.mkdir(parents=True, exist_ok=True)
            for number in range(4):
                pixels = np.full((16, 16, 3), level + 10 * number + i, np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")

    paint(10)
    return folder, paint


def images_of(count: int, height: int, width: int):
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, height, width), generator=chance, dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(count) % 2)
    return image_data("own", images, images, ("a", "b"))


def test_runs_of_other_conditions_stay_in_the_file(tmp_path):
    path = tmp_path / "toy.jsonl"
    run_studies([TOY], tmp_path, data="shapes", jobs=1, seeds=[1], say=quiet)
    before = path.read_text("utf-8").splitlines()
    renamed = replace(TOY, conditions=(*grid(norm=("group",), size=(1,)), *TOY.conditions[:2]))
    (result,) = run_studies([renamed], tmp_path, data="shapes", jobs=1, seeds=[1], say=quiet)
    assert next(line.condition for line in result.lines) == "group/size=1"
    assert len(result.lines) == 3
    assert set(before[1:]) < set(path.read_text("utf-8").splitlines()[1:])


def test_quick_mode_leaves_runs_of_full_size_alone(tmp_path, pets, monkeypatch):
    folder, _ = pets
    monkeypatch.setenv("NORMS_QUICK", "0")
    full = replace(TOY, quick={"size": (2,)}, conditions=TOY.conditions[:1])
    run_studies([full], tmp_path, data=str(folder), jobs=1, seeds=[1], say=quiet)
    before = (tmp_path / "toy.jsonl").read_bytes()
    monkeypatch.setenv("NORMS_QUICK", "1")
    short = replace(TOY, quick={"size": (2,)})
    with pytest.raises(ValueError, match=r"on other images .*quick mode"):
        run_studies([short], tmp_path, data=str(folder), jobs=1, seeds=[1], say=quiet)
    assert (tmp_path / "toy.jsonl").read_bytes() == before


def test_images_of_the_same_name_and_number_are_other_images(tmp_path, pets, monkeypatch):
    monkeypatch.setenv("NORMS_QUICK", "0")
    folder, paint = pets
    study = replace(TOY, measure=brightness, conditions=TOY.conditions[:1])
    run_studies([study], tmp_path / "out", data=str(folder), jobs=1, seeds=[1], say=quiet)
    paint(100)
    with pytest.raises(ValueError, match="on other images"):
        run_studies([study], tmp_path / "out", data=str(folder), jobs=1, seeds=[2], say=quiet)
    # Elsewhere it is run, and sees what is there now.
    where = tmp_path / "out2"
    (result,) = run_studies([study], where, data=str(folder), jobs=1, seeds=[1], say=quiet)
    assert result.lines[0].values["test"] == pytest.approx(116, abs=1)


def test_a_file_older_than_the_fingerprint_is_gone_on_with(tmp_path):
    run_studies([TOY], tmp_path, data="shapes", jobs=1, seeds=[1], say=quiet)
    path = tmp_path / "toy.jsonl"
    head, rest = path.read_text("utf-8").split("\n", 1)
    assert '"fingerprint":"' in head
    start, _, after = head.partition('"fingerprint":"')
    path.write_text(f"{start}{after.partition(',')[2]}\n{rest}", "utf-8")
    (result,) = run_studies([TOY], tmp_path, data="shapes", jobs=1, seeds=[1, 2], say=quiet)
    assert len(result.lines) == 12


@pytest.mark.parametrize("name", OF_WHAT_IS_SHIPPED)
def test_what_came_of_cifar_10_says_nothing_about_other_images(name, pets, tmp_path, monkeypatch):
    monkeypatch.setenv("NORMS_QUICK", "0")
    folder, _ = pets
    for data in (str(folder), "shapes"):
        with pytest.raises(ValueError, match=f"'{name}' is read off .* made on CIFAR-10"):
            run_studies([STUDIES[name]], tmp_path / "out", data=data, jobs=1, say=quiet)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [0, 6])
def test_what_is_shipped_has_the_seeds_it_has(seed, tmp_path):
    for name in ("curves", "shifts"):
        with pytest.raises(ValueError, match=f"1, 2 are all the seeds it has, and not {seed}"):
            run_studies([STUDIES[name]], tmp_path, data="shapes", seeds=[seed], jobs=1, say=quiet)


def test_all_studies_leave_out_those_that_other_images_have_none_of(pets, monkeypatch, capsys):
    folder, _ = pets
    asked = []
    monkeypatch.setattr(
        laboratory, "run_studies", lambda studies, *_, **__: asked.extend(studies) or []
    )
    assert cli.main(["study", "--all", "--data", str(folder)]) == 0
    assert {study.name for study in asked} == set(STUDIES) - {"curves", "shifts"}
    assert "came of CIFAR-10: curves, shifts." in capsys.readouterr().err
    monkeypatch.setenv("NORMS_QUICK", "0")
    cli.main(["study", "--all", "--data", str(folder)])
    assert "came of CIFAR-10: size, curves, shifts." in capsys.readouterr().err


def test_how_soon_a_target_is_reached_is_not_known_of_other_images(pets):
    with pytest.raises(ValueError, match="made on CIFAR-10; it says nothing about pets"):
        targets.run(["batch"], Plan(data=str(pets[0])))


def test_fewer_images_than_a_study_takes_are_refused():
    with pytest.raises(ValueError, match="trains on 100 images and holds 20 out; own has 80"):
        bench_images(images_of(80, 16, 16), 100)
    split, _ = bench_images(images_of(80, 16, 16), 60)
    assert (len(split.train), len(split.test)) == (60, 20)
    quick = replace(load_images("shapes"), quick=True)
    assert len(bench_images(quick, 10_000)[0].train) == 32


@pytest.mark.parametrize("shape", [(40, 40), (24, 32), (32, 24), (8, 8)])
def test_images_that_squares_of_pixels_do_not_divide_are_refused(shape):
    height, width = shape
    with pytest.raises(ValueError, match=f"16×16 .* {height}×{width} cannot become"):
        bench_images(images_of(80, height, width), 60, 16)


def test_images_of_any_multiple_are_made_smaller():
    split, test = bench_images(images_of(80, 48, 48), 60, 16)
    assert split.train.images.shape[2:] == test.images.shape[2:] == (16, 16)


def test_a_process_ended_from_outside_is_no_traceback(tmp_path, monkeypatch, capsys):
    def ended(*_, **__):
        def run(tasks):
            raise TerminatedWorkerError("SIGKILL(-9)")
            yield

        return run

    monkeypatch.setattr("joblib.Parallel", ended)
    command = ["study", "rate", "--quick", "--data", "shapes", "--out", os.fspath(tmp_path)]
    assert cli.main(command) == 2
    assert "ended from outside" in capsys.readouterr().err
