"""Parts of a data set."""

from dataclasses import replace

import pytest
import torch

from common.data import first_images, hold_out, load_images, small


def test_small_images_are_some_of_the_images_at_a_smaller_size():
    data = load_images("shapes")
    few = small(data, train=60, test=30)
    assert few.train.images.shape == (60, 3, 16, 16)
    assert few.test.images.shape == (30, 3, 16, 16)
    assert few.train.images.dtype == torch.uint8
    brightness = few.train.images.float().mean()
    assert brightness == pytest.approx(data.train.draw(60).images.float().mean(), abs=1)
    assert "60 training images at 16×16" in few.name


def test_the_first_images_of_a_folder_are_of_all_its_classes():
    mixed = load_images("shapes")
    order = mixed.train.labels.argsort(descending=True)  # any order of the classes
    images, labels = mixed.train.images[order], mixed.train.labels[order]
    folder = replace(mixed, train=replace(mixed.train, images=images, labels=labels))
    some = first_images(folder, 80).train
    assert len(some) == 80
    assert some.labels.unique().numel() == 10
    assert torch.equal(some.images, first_images(folder, 80).train.images)
    for row, image in enumerate(some.images):  # each has kept its label
        (place,) = (images == image).flatten(1).all(1).nonzero()
        assert some.labels[row] == labels[place]


def test_the_first_images_of_mixed_ones_are_the_first():
    mixed = load_images("shapes")
    for data in (mixed, hold_out(mixed, size=40)):
        assert torch.equal(first_images(data, 20).train.images, data.train.images[:20])
        assert torch.equal(first_images(data, 20).train.labels, data.train.labels[:20])
