"""Loading images: from both layouts on disk, from the cache, and what is said of bad input."""

import os
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from common import settings
from common.data import channel_statistics, decoding, download, folders, shapes
from common.data import images as data
from common.tests.data.fake_cifar10 import fake_cifar10


@pytest.fixture(autouse=True)
def full_mode(monkeypatch, tmp_path):
    """Not quick, and with a data folder of its own."""
    monkeypatch.setenv("NORMS_QUICK", "0")
    monkeypatch.setenv("NORMS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def few_shapes(monkeypatch):
    """The fallback without the seconds it takes to draw it in full."""
    make = shapes.make_shapes
    monkeypatch.setattr(shapes, "make_shapes", lambda train, test: make(30, 20))


def picture(path, size=(20, 20), mode="RGB", colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if colour is None:
        pixels = np.random.default_rng(len(str(path))).integers(0, 256, (*size[::-1], 3))
        image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    else:
        image = Image.new(mode, size, colour)
    image.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes, cat and dog, each with 3 training and 2 test pictures of 20 × 20 pixels."""
    root = tmp_path / "pets"
    for split, number in (("train", 3), ("test", 2)):
        for kind in ("dog", "cat"):
            for i in range(number):
                picture(root / split / kind / f"{i}{'x' * i}.png")
    return root


def pixels(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


# ---- a folder of pictures --------------------------------------------------------------------


def test_folder_gives_tensors_labels_classes_and_name(folder):
    loaded = data.load_images(folder)
    assert loaded.name == loaded.title == "pets"
    assert loaded.classes == ("cat", "dog")
    assert loaded.note == ""
    assert not loaded.quick
    assert loaded.train.images.shape == (6, 3, 20, 20)
    assert loaded.test.images.shape == (4, 3, 20, 20)
    assert loaded.train.images.dtype == torch.uint8
    assert loaded.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.train.labels.dtype == torch.int64
    assert len(loaded.test) == 4
    for number, name in enumerate(("cat/0.png", "cat/1x.png", "cat/2xx.png", "dog/0.png")):
        assert torch.equal(loaded.train.images[number], pixels(folder / "train" / name))


def test_mean_and_std_are_those_of_the_training_pixels(folder):
    loaded = data.load_images(folder)
    values = loaded.train.images.double() / 255
    assert loaded.mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert loaded.std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_statistics_of_more_than_one_chunk_and_of_one_value():
    images = torch.randint(0, 256, (2_050, 3, 4, 4), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((images.double() / 255).mean((0, 2, 3)).tolist(), abs=1e-12)
    mean, std = channel_statistics(torch.full((2, 3, 4, 4), 51, dtype=torch.uint8))
    assert mean == pytest.approx((0.2, 0.2, 0.2))
    assert std == pytest.approx((0, 0, 0), abs=1e-12)


def test_a_folder_may_be_named_from_the_data_folder(folder, full_mode):
    folder.rename(full_mode.parent / "moved")
    full_mode.mkdir()
    (full_mode.parent / "moved").rename(full_mode / "pets")
    assert data.load_images("pets").name == "pets"


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("L", 77, "png", (77, 77, 77)),
        ("LA", (77, 255), "png", (77, 77, 77)),
        ("1", 1, "png", (255, 255, 255)),
        ("I;16", 150 * 257, "png", (150, 150, 150)),
        ("P", 0, "png", (0, 0, 0)),
        ("RGB", (10, 200, 30), "bmp", (10, 200, 30)),
        ("RGBA", (10, 200, 30, 255), "png", (10, 200, 30)),
        ("RGBA", (10, 200, 30, 0), "png", (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), "jpg", (0, 0, 0)),
    ],
)
def test_every_kind_of_picture_becomes_rgb(folder, mode, colour, suffix, expected):
    picture(folder / "train" / "cat" / f"a.{suffix}", mode=mode, colour=colour)
    images = data.load_images(folder).train.images
    expected = torch.tensor(expected, dtype=torch.uint8)[:, None, None].expand(3, 20, 20)
    found = (images == expected).flatten(1).all(1)
    assert found.sum() == 1


def test_pictures_turned_by_the_camera_are_set_upright(folder):
    path = folder / "train" / "cat" / "0.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90°
    before = Image.open(path).convert("RGB")
    before.save(path, exif=exif)
    turned = np.array(before.transpose(Image.Transpose.ROTATE_270))
    images = data.load_images(folder).train.images
    assert torch.equal(images[0], torch.from_numpy(turned).permute(2, 0, 1))


def test_pictures_of_one_size_keep_it_even_if_it_is_not_square(tmp_path, capsys):
    for split in ("train", "test"):
        for kind in "ab":
            picture(tmp_path / "wide" / split / kind / "1.png", size=(40, 24))
    assert data.load_images(tmp_path / "wide").train.images.shape == (2, 3, 24, 40)
    assert "resized" not in capsys.readouterr().err


def test_pictures_of_mixed_sizes_get_the_usual_one_and_it_is_said(folder, capsys):
    original = pixels(folder / "train" / "dog" / "0.png")
    picture(folder / "train" / "cat" / "a.png", size=(50, 18), colour=(9, 9, 9))
    picture(folder / "test" / "dog" / "b.jpg", size=(300, 200), colour=(90, 9, 9))
    loaded = data.load_images(folder)
    assert loaded.train.images.shape == (7, 3, 20, 20)
    assert loaded.test.images.shape == (5, 3, 20, 20)
    assert (loaded.train.images[3] == 9).all()
    assert loaded.test.images[4].float().mean((1, 2)).tolist() == pytest.approx([90, 9, 9], abs=2)
    assert torch.equal(loaded.train.images[4], original)  # those that fit are left as they are
    said = capsys.readouterr().err
    assert "18–200 × 20–300" in said
    assert "resized to 20 × 20" in said


def test_resizing_keeps_proportions_and_the_centre(folder):
    path = folder / "train" / "cat" / "0.png"
    image = Image.new("RGB", (60, 20), "black")
    image.paste("white", (20, 0, 40, 20))
    image.save(path)
    assert (data.load_images(folder).train.images[0] == 255).all()


def test_large_pictures_are_shrunk(tmp_path, capsys):
    for split in ("train", "test"):
        for kind in "ab":
            picture(tmp_path / "photos" / split / kind / "1.jpg", size=(320, 240))
    assert data.load_images(tmp_path / "photos").train.images.shape == (2, 3, 64, 64)
    assert "resized to 64 × 64" in capsys.readouterr().err


def test_files_that_are_no_pictures_are_left_alone(folder):
    cat = folder / "train" / "cat"
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", "._0.png", ".hidden.jpg"):
        (cat / name).write_bytes(b"no picture")
    (cat / "folder.png").mkdir()
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "readme.md").write_text("hello")
    (folder / "other").mkdir()
    assert len(data.load_images(folder).train) == 6


def test_capital_suffixes_count(folder):
    picture(folder / "train" / "cat" / "A.JPG")
    assert len(data.load_images(folder).train) == 7


def test_cifar10_as_jpegs_says_that_it_is_a_copy(tmp_path, monkeypatch):
    files = {
        split: {name: [("1.jpg", 1, 1, 1)] * (number // 10) for name in folders.CIFAR10_CLASSES}
        for split, number in (("train", 50_000), ("test", 10_000))
    }
    assert folders._folder_name(tmp_path / "cifar10", files) == "CIFAR-10 (JPEG copy)"
    files["test"]["cat"][3] = ("1.png", 1, 1, 1)
    assert folders._folder_name(tmp_path / "cifar10", files) == "cifar10"
    files["test"]["cat"].pop()
    assert folders._folder_name(tmp_path / "cifar10", files) == "cifar10"
    assert CIFAR10.meta["key"] == "label_names"


# ---- the cache -------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """The paths decoded so far."""
    paths = []
    opened = decoding.opened
    monkeypatch.setattr(decoding, "opened", lambda path: paths.append(path) or opened(path))
    return paths


def test_pictures_are_decoded_once(folder, decoded, full_mode):
    first = data.load_images(folder)
    assert len(set(decoded)) == 10
    decoded.clear()
    second = data.load_images(folder)
    assert decoded == []
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)
    assert (first.mean, first.std, first.classes) == (second.mean, second.std, second.classes)
    kept = [path for path in (full_mode / ".cache").iterdir() if path.suffix != ".lock"]
    assert [path.suffix for path in kept] == [".pt"]
    assert not (folder / ".cache").exists()


def changed_content(folder):
    path = picture(folder / "train" / "cat" / "0.png", colour=(1, 2, 3))
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        changed_content,
        lambda folder: picture(folder / "test" / "cat" / "new.png"),
        lambda folder: (folder / "train" / "cat" / "0.png").unlink(),
        lambda folder: (folder / "train" / "cat" / "0.png").rename(
            folder / "train" / "dog" / "moved.png"
        ),
        lambda folder: [(folder / s / "cat").rename(folder / s / "zebra") for s in data.SPLITS],
    ],
    ids=["content", "added", "removed", "moved", "class renamed"],
)
def test_a_changed_folder_is_decoded_again(folder, decoded, full_mode, change):
    before = data.load_images(folder)
    change(folder)
    decoded.clear()
    after = data.load_images(folder)
    assert decoded
    assert (before.classes, before.train.images.tolist(), before.test.images.tolist()) != (
        after.classes,
        after.train.images.tolist(),
        after.test.images.tolist(),
    )
    assert len(list((full_mode / ".cache").glob("*.pt"))) == 1  # the old one is not kept


@pytest.mark.skipif(os.name == "nt", reason="no time there that only the system sets")
def test_other_pictures_of_the_same_size_and_time_are_noticed(folder):
    for level in (100, 200):
        path = picture(folder / "train" / "cat" / "b.bmp", colour=(level,) * 3)
        os.utime(path, (1, 1))  # as unzip and rsync do
        assert (data.load_images(folder).train.images[3] == level).all()


def test_two_folders_of_one_name_do_not_share_a_cache(folder, tmp_path, full_mode):
    other = tmp_path / "elsewhere" / "pets"
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            picture(other / split / kind / "0.png", colour=(5, 5, 5))
    data.load_images(folder)
    assert (data.load_images(other).train.images == 5).all()
    assert len(data.load_images(folder).train) == 6
    assert len(list((full_mode / ".cache").glob("*.pt"))) == 2


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_cache_is_replaced(folder, full_mode, content):
    first = data.load_images(folder)
    (path,) = (full_mode / ".cache").glob("*.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert torch.equal(data.load_images(folder).train.images, first.train.images)
    assert len(path.read_bytes()) == len(whole)


def test_where_nothing_can_be_kept_images_load_all_the_same(folder, full_mode):
    full_mode.write_text("a file where the data folder should be")
    with pytest.warns(UserWarning, match="could not be kept.*NORMS_DATA"):
        assert len(data.load_images(folder).train) == 6


def test_a_full_disk_leaves_no_half_written_cache(folder, full_mode, monkeypatch):
    def fail(_, path):
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.warns(UserWarning, match="failed writing"):
        assert len(data.load_images(folder).train) == 6
    assert [path.suffix for path in (full_mode / ".cache").iterdir()] in ([], [".lock"])


def test_loading_leaves_the_folder_as_it_is(folder):
    before = sorted(folder.rglob("*"))
    data.load_images(folder)
    assert sorted(folder.rglob("*")) == before


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", ["0", "1"])
@pytest.mark.parametrize("name", ["cifar11", "", "no/such/folder"])
def test_an_unknown_name_lists_the_known_ones(monkeypatch, name, quick):
    monkeypatch.setenv("NORMS_QUICK", quick)
    with pytest.raises(ValueError, match=r"Known names: cifar10, shapes\..*train/<class>/"):
        data.load_images(name)


def test_a_missing_path_and_a_file_are_named(tmp_path, folder):
    with pytest.raises(ValueError, match="nowhere"):
        data.load_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"0\.png is a file; give the folder"):
        data.load_images(folder / "train" / "cat" / "0.png")


def test_an_empty_folder_or_a_missing_half_is_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty/train does not exist.*train/<class>/"):
        data.load_images(tmp_path / "empty")
    (folder / "test").rename(folder / "val")
    with pytest.raises(ValueError, match="pets/test does not exist"):
        data.load_images(folder)
    (folder / "test").mkdir()
    with pytest.raises(ValueError, match="pets/test is empty"):
        data.load_images(folder)


def test_a_class_without_pictures_is_named(folder):
    for path in (folder / "test" / "cat").iterdir():
        path.unlink()
    (folder / "test" / "cat" / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=r"test/cat holds no pictures \(\.png, \.jpg"):
        data.load_images(folder)


def test_classes_that_differ_are_named(folder):
    (folder / "test" / "cat").rename(folder / "test" / "cats")
    with pytest.raises(ValueError, match="only in train: cat; only in test: cats"):
        data.load_images(folder)


def test_one_class_is_too_few(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / "one" / split / "cat" / "1.png")
    with pytest.raises(ValueError, match="one class only, cat"):
        data.load_images(tmp_path / "one")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif"])
@pytest.mark.parametrize("kind", ["cut", "garbage", "empty"])
def test_a_broken_picture_is_named(folder, suffix, kind):
    path = picture(folder / "test" / "dog" / f"broken.{suffix}", size=(20, 20))
    content = path.read_bytes()
    broken = {"cut": content[: len(content) // 2], "garbage": b"\x00\x01" * 99, "empty": b""}[kind]
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=rf"dog/broken\.{suffix} cannot be read as a picture"):
        data.load_images(folder)
    # Mended, it loads: the failed attempt has left nothing behind.
    path.write_bytes(content)
    assert len(data.load_images(folder).test) == 5


def test_a_picture_under_16_pixels_is_named(folder):
    picture(folder / "train" / "dog" / "tiny.png", size=(30, 15))
    with pytest.raises(ValueError, match=r"dog/tiny\.png measures 15 × 30 pixels.*16 × 16"):
        data.load_images(folder)


def test_pictures_of_16_pixels_are_large_enough(tmp_path):
    for split in ("train", "test"):
        for kind in "ab":
            picture(tmp_path / "small" / split / kind / "1.png", size=(16, 16))
    assert data.load_images(tmp_path / "small").train.images.shape == (2, 3, 16, 16)


# ---- CIFAR-10 --------------------------------------------------------------------------------


@pytest.fixture
def cifar10(monkeypatch):
    """The archive of a tiny CIFAR-10, which torchvision takes for the real one."""
    archive, layout = fake_cifar10()
    for name in ("tgz_md5", "train_list", "test_list", "meta"):
        monkeypatch.setattr(CIFAR10, name, getattr(layout, name))
    return archive


@pytest.fixture
def unpacked(cifar10, full_mode):
    full_mode.mkdir()
    (full_mode / CIFAR10.filename).write_bytes(cifar10)
    download.download_cifar10(full_mode, sources=[])
    (full_mode / CIFAR10.filename).unlink()
    return full_mode / CIFAR10.base_folder


@pytest.mark.parametrize("name", ["cifar10", "CIFAR10", "CIFAR-10"])
def test_cifar10_is_read_from_torchvisions_layout(unpacked, no_network, name):
    loaded = data.load_images(name)
    assert loaded.name == loaded.title == "CIFAR-10"
    assert loaded.train.images.shape == (100, 3, 32, 32)
    assert loaded.test.images.shape == (20, 3, 32, 32)
    assert loaded.train.images.is_contiguous()
    assert loaded.train.labels.dtype == torch.int64
    assert loaded.classes == tuple("abcdefghij")
    for number, (image, label) in enumerate(CIFAR10(unpacked.parent, train=False)):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        assert torch.equal(loaded.test.images[number], pixels)
        assert loaded.test.labels[number] == label


def test_a_path_may_lead_to_the_layout_or_above_it(unpacked, no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("NORMS_DATA", str(tmp_path / "other"))
    for path in (unpacked, unpacked.parent, str(unpacked)):
        assert data.load_images(path).name == "CIFAR-10"


def test_a_path_with_a_damaged_file_names_it(unpacked):
    (unpacked / "data_batch_2").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"lacks the original data_batch_2.*'cifar10'"):
        data.load_images(unpacked)


def test_the_layout_comes_before_the_folder_of_pictures(unpacked, folder, no_network):
    folder.rename(unpacked.parent / "cifar10")
    assert data.load_images("cifar10").name == "CIFAR-10"
    (unpacked / "test_batch").write_bytes(b"broken")
    loaded = data.load_images("cifar10")
    assert (loaded.name, loaded.classes) == ("cifar10", ("cat", "dog"))


def test_what_is_missing_is_unpacked_from_an_archive_put_there(cifar10, full_mode, no_network):
    full_mode.mkdir()
    (full_mode / CIFAR10.filename).write_bytes(cifar10)
    assert data.load_images("cifar10").name == "CIFAR-10"


def test_without_cifar10_shapes_stand_in_and_it_is_said(monkeypatch, few_shapes, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "SOURCES", [f"http://127.0.0.1:{port}/x"])
    started = time.monotonic()
    loaded = data.load_images("cifar10")
    assert time.monotonic() - started < 10
    assert loaded.name == "shapes"
    assert loaded.title == "shapes – stand-in for CIFAR-10"
    assert "refused" in loaded.note
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "shapes" in lines[0]
    assert "try again" in lines[0]


def test_an_empty_folder_cifar10_does_not_stand_in_the_way(full_mode, cifar10, no_network):
    (full_mode / "cifar10").mkdir(parents=True)
    (full_mode / CIFAR10.filename).write_bytes(cifar10)
    assert data.load_images("cifar10").name == "CIFAR-10"


def test_a_data_folder_that_cannot_be_written_falls_back_too(full_mode, few_shapes, capsys):
    full_mode.write_text("a file")
    loaded = data.load_images("cifar10")
    assert loaded.title == "shapes – stand-in for CIFAR-10"
    assert "NORMS_DATA" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["shapes", "cifar10", "CIFAR-10"])
def test_a_folder_that_a_name_hides_is_said(folder, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setenv("NORMS_QUICK", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert data.load_images(name).name == "shapes"
    assert capsys.readouterr().err == ""  # it holds no pictures
    (tmp_path / name).rmdir()
    folder.rename(tmp_path / name)
    assert data.load_images(name).name == "shapes"
    assert capsys.readouterr().err == (
        f"{name} is a data set of the course; for the folder of that name here, give ./{name}\n"
    )
    assert data.load_images(f"./{name}").name == name
    assert "give ./" not in capsys.readouterr().err


def test_the_folder_that_a_name_stands_for_is_not_hidden(folder, full_mode, monkeypatch, capsys):
    full_mode.mkdir()
    folder.rename(full_mode / "cifar10")
    monkeypatch.chdir(full_mode)
    assert data.load_images("cifar10").classes == ("cat", "dog")
    assert "give ./" not in capsys.readouterr().err


# ---- shapes and quick mode -------------------------------------------------------------------


def test_shapes_are_what_was_asked_for(few_shapes, no_network):
    loaded = data.load_images("shapes")
    assert (loaded.name, loaded.title, loaded.note) == ("shapes", "shapes", "")
    assert loaded.classes == shapes.CLASSES


def test_shapes_are_ten_thousand_and_two_thousand():
    loaded = data.load_images("shapes")
    assert (len(loaded.train), len(loaded.test)) == (10_000, 2_000)


@pytest.mark.parametrize("setting", ["1", ""])
def test_quick_mode_never_asks_the_network(monkeypatch, no_network, folder, setting):
    monkeypatch.setenv("NORMS_QUICK", setting)  # empty: quick because of pytest
    for name in ("cifar10", "shapes"):
        loaded = data.load_images(name)
        assert loaded.quick
        assert (loaded.name, loaded.title) == ("shapes", "shapes – quick mode")
        assert 100 <= len(loaded.train) < 1_000
        assert loaded.train.labels.bincount().unique().numel() == 1
        assert loaded.test.labels.bincount().unique().numel() == 1


def test_quick_mode_takes_a_few_of_a_folder_s_own_pictures(monkeypatch, folder, full_mode):
    whole = data.load_images(folder)
    monkeypatch.setenv("NORMS_QUICK", "1")
    monkeypatch.setattr(data, "QUICK_TRAIN", 4)
    few = data.load_images(folder)
    assert (few.title, few.quick, few.note) == ("pets – quick mode", True, "")
    assert few.train.labels.tolist() == [0, 0, 1, 1]
    assert few.classes == whole.classes
    assert all(any(torch.equal(a, b) for b in whole.train.images) for a in few.train.images)
    (folder / "train" / "dog" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"dog/0\.png cannot be read"):
        data.load_images(folder)


# ---- nothing changed or left out without a word ----------------------------------------------


def gradient(kind, top):
    """A picture of 20 × 20 whose values go from 0 to ``top``."""
    return Image.fromarray((np.linspace(0, 1, 400).reshape(20, 20) * top).astype(kind))


@pytest.mark.parametrize(
    ("kind", "top", "suffix"),
    [
        (np.uint16, 65535, "png"),
        (np.uint16, 65535, "tif"),
        (np.uint16, 4095, "tif"),
        (np.uint16, 1023, "png"),
        (np.int32, 65535, "tif"),
        (np.int32, 4095, "tif"),
        (np.int32, 255, "tif"),
        (np.float32, 1.0, "tif"),
        (np.float32, 255.0, "tif"),
        (np.float32, 65535.0, "tif"),
    ],
)
def test_deep_pictures_keep_their_brightness(folder, capsys, kind, top, suffix):
    gradient(kind, top).save(folder / "train" / "cat" / f"a.{suffix}")
    gradient(kind, top / 2).save(folder / "test" / "dog" / f"b.{suffix}")
    loaded = data.load_images(folder)
    expected = torch.from_numpy(np.linspace(0, 255, 400).reshape(20, 20)).expand(3, -1, -1)
    whole, half = loaded.train.images[3].double(), loaded.test.images[-1].double()
    assert (whole - expected).abs().max() <= 1
    assert (half - expected / 2).abs().max() <= 1  # all share one scale: the dark stay dark
    assert f"{top:g} is taken for white" in capsys.readouterr().err
    assert torch.equal(data.load_images(folder).train.images, loaded.train.images)
    assert f"{top:g} is taken for white" in capsys.readouterr().err  # from the cache as well


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((20, 20), -5, np.int32), "from -5 to -5, which are no brightness"),
        (np.full((20, 20), np.nan, np.float32), "from nan to nan, which are no brightness"),
        (np.full((20, 20), 3.0, np.float32), "cannot be told which value is white"),
        (np.full((20, 20), 1e12, np.float32), "cannot be told which value is white"),
    ],
)
def test_values_that_mean_no_brightness_are_refused(folder, pixels, words):
    Image.fromarray(pixels).save(folder / "test" / "cat" / "odd.tif")
    with pytest.raises(ValueError, match=rf"odd\.tif.*{words}|{words}.*odd\.tif"):
        data.load_images(folder)


def test_what_each_class_gave_and_what_was_left_out_is_said(folder, capsys):
    picture(folder / "train" / "loose.png")
    picture(folder / "train" / "cat" / "kittens" / "1.png")
    picture(folder / "train" / "cat" / "kittens" / "deeper" / "2.jpg")
    for name in ("photo.heic", "notes.txt", "Thumbs.db", ".DS_Store"):
        (folder / "test" / "dog" / name).write_bytes(b"")
    picture(folder / "test" / "dog" / "b.jfif", format="JPEG")
    loaded = data.load_images(folder)
    assert (len(loaded.train), len(loaded.test)) == (6, 5)
    said = capsys.readouterr().err
    assert "pets: training/test pictures of each class: cat 3/2, dog 3/3." in said
    assert "1 pictures in train/ itself are left out" in said
    assert "2 pictures one folder too deep are left out (train/cat/kittens)" in said
    assert "files in test/ that are not read as pictures, by ending: 1 .heic, 1 .txt." in said


def test_many_classes_are_told_in_one_line(tmp_path, capsys):
    for number in range(13):
        for split in ("train", "test"):
            picture(tmp_path / "many" / split / f"c{number:02}" / "1.png")
    data.load_images(tmp_path / "many")
    said = capsys.readouterr().err
    assert "13 classes of 1 to 1 training and 1 to 1 test pictures." in said


def test_pictures_all_one_folder_too_deep_are_told_where_they_lie(folder):
    (folder / "test" / "cat").rename(folder / "test" / "x")
    (folder / "test" / "cat").mkdir()
    (folder / "test" / "x").rename(folder / "test" / "cat" / "inner")
    with pytest.raises(ValueError, match=r"one folder too deep, in .*test/cat/inner: move them up"):
        data.load_images(folder)
    with pytest.raises(ValueError, match=rf"Did you mean {folder}\?"):
        data.load_images(folder.parent)


def test_pictures_that_show_nothing_are_warned_of(folder):
    for path in folder.glob("train/*/*.png"):
        picture(path, colour=(7, 7, 7))
    with pytest.warns(UserWarning, match="pets are nearly one colour"):
        data.load_images(folder)


def test_a_camera_held_upright_loses_nothing(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    for split in ("train", "test"):
        for kind in "ab":
            picture(tmp_path / "wide" / split / kind / "1.png", size=(40, 24))
    picture(tmp_path / "wide" / "train" / "a" / "2.png", size=(24, 40), exif=exif)
    loaded = data.load_images(tmp_path / "wide")
    assert loaded.train.images.shape == (3, 3, 24, 40)
    assert "cropped" not in capsys.readouterr().err


def test_two_spellings_of_a_class_are_one(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    for split, name in (("train", composed), ("test", apart), ("train", apart)):
        picture(tmp_path / "menu" / split / name / f"{len(name)}.png")
        picture(tmp_path / "menu" / split / "tea" / f"{len(name)}.png")
    loaded = data.load_images(tmp_path / "menu")
    assert loaded.classes == (composed, "tea")
    assert loaded.train.labels.tolist() == [0, 0, 1, 1]


def test_a_class_whose_link_leads_nowhere_is_named(folder):
    for split in ("train", "test"):
        (folder / split / "bird").symlink_to(folder / "unmounted")
    with pytest.raises(ValueError, match=r"train/bird is a link that leads nowhere"):
        data.load_images(folder)


def test_what_may_not_be_looked_into_is_named(folder):
    (folder / "test" / "cat" / "x.png").symlink_to("x.png")
    with pytest.raises(ValueError, match=r"test/cat/x\.png cannot be read"):
        data.load_images(folder)


def test_a_damaged_picture_is_named_whatever_pil_makes_of_it(folder):
    (folder / "train" / "dog" / "x.ppm").write_bytes(b"P6\n\xfb03v0 9\n255\n")
    with pytest.raises(ValueError, match=r"dog/x\.ppm cannot be read as a picture"):
        data.load_images(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_class_that_cannot_be_spelt_is_named(folder):
    odd = os.fsdecode(b"caf\xe9")
    picture(folder / "train" / odd / "1.png")
    with pytest.raises(ValueError, match=r"caf\\xe9' is no UTF-8"):
        data.load_images(folder)


def test_a_bit_flipped_in_the_cache_is_noticed(folder, full_mode):
    first = data.load_images(folder)
    (path,) = (full_mode / ".cache").glob("*.pt")
    whole = bytearray(path.read_bytes())
    place = whole.find(first.train.images[0].numpy().tobytes())
    assert place > 0
    whole[place + 100] ^= 1
    path.write_bytes(whole)
    assert torch.equal(data.load_images(folder).train.images, first.train.images)
    assert path.read_bytes() != whole


def test_a_relative_data_folder_is_the_same_from_everywhere(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setenv("NORMS_DATA", "my data")
    (tmp_path / "my data").mkdir()
    folder.rename(tmp_path / "my data" / "pets")
    for place in (tmp_path, tmp_path / "my data"):
        monkeypatch.chdir(place)
        assert settings.data_folder() == tmp_path / "my data"
        assert data.load_images("pets").name == "pets"
    with pytest.raises(ValueError, match=f"lies in {tmp_path / 'my data'}"):
        data.load_images("cats")
    with pytest.raises(ValueError, match="no such user"):
        data.load_images("~nosuchuser/pets")


def test_any_change_of_the_data_changes_its_fingerprint(few_shapes):
    plain = data.load_images("shapes")
    labels, pixels = plain.train.labels.clone(), plain.test.images.clone()
    labels[0] = (labels[0] + 1) % 10
    pixels[5, 1, 2, 3] ^= 1
    others = (
        replace(plain, train=replace(plain.train, labels=labels)),
        replace(plain, test=replace(plain.test, images=pixels)),
        replace(plain, classes=plain.classes[::-1]),
        replace(plain, train=plain.test, test=plain.train),
    )
    assert len({each.fingerprint for each in (plain, *others)}) == 5
    assert replace(plain, name="another").fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: replace(p, images=p.images / 255), "must be torch.uint8"),
        (lambda p: replace(p, images=p.images[:, :1]), r"must be torch\.uint8 \(N, 3"),
        (lambda p: replace(p, labels=p.labels[:-1]), "must be torch.int64, one an image"),
        (lambda p: replace(p, labels=p.labels.float()), "must be torch.int64"),
        (lambda p: replace(p, labels=p.labels - 100), "labels go from -100 to -91"),
        (lambda p: replace(p, labels=p.labels + 1), "go from 1 to 10; of 10 classes"),
        (lambda p: replace(p, images=p.images[:0], labels=p.labels[:0]), "There are no"),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_data_that_no_network_can_be_trained_on_is_told_so(part, change, words, few_shapes):
    plain = data.load_images("shapes")
    plain.check()
    with pytest.raises(ValueError, match=words):
        replace(plain, **{part: change(getattr(plain, part))}).check()
    with pytest.raises(ValueError, match="must be numbers"):
        replace(plain, mean=(0.5, float("nan"), 0.5)).check()


def test_importing_the_module_imports_no_torchvision_and_prints_nothing():
    code = "import sys, common.data; print({'torchvision', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
    assert run.stderr == ""


def test_loading_warns_of_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load_images(folder)
