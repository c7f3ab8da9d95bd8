"""The built-in data set: deterministic, balanced, varied, and quick to draw."""

import time

import numpy as np
import pytest
import torch

from common.data import shapes


def test_gives_uint8_images_and_balanced_labels():
    (images, labels), (test_images, test_labels) = shapes.make_shapes(103, 50)
    assert images.shape == (103, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.shape == (103,)
    assert labels.dtype == torch.int64
    assert test_images.shape == (50, 3, 32, 32)
    counts = labels.bincount(minlength=10)
    assert counts.max() - counts.min() <= 1
    assert test_labels.bincount().tolist() == [5] * 10
    assert len(shapes.CLASSES) == len(set(shapes.CLASSES)) == 10


def test_labels_come_mixed():
    labels = shapes.make_shapes(200, 10)[0][1]
    assert not torch.equal(labels, labels.sort().values)
    assert len(labels[:40].unique()) >= 8


def test_same_seed_same_bytes_and_global_generators_untouched():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the global state is what must stay as it was
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = shapes.make_shapes(60, 20), shapes.make_shapes(60, 20)
    for one, other in zip((*first[0], *first[1]), (*second[0], *second[1]), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_other_seed_other_pictures_and_test_apart_from_training():
    (train, _), (test, _) = shapes.make_shapes(60, 60)
    assert not torch.equal(train, shapes.make_shapes(60, 60, seed=1)[0][0])
    assert not torch.equal(train, test)
    everything = torch.cat([train, test]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)


def test_test_pictures_do_not_depend_on_the_training_set():
    few, many = shapes.make_shapes(10, 40)[1], shapes.make_shapes(70, 40)[1]
    assert torch.equal(few[0], many[0])
    assert torch.equal(few[1], many[1])


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_figures_fill_a_good_part_of_their_frame_and_have_an_edge(name):
    axis = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    distance = shapes._FIGURES[name](*np.meshgrid(axis, axis))
    edge = np.concatenate([distance[0], distance[-1], distance[:, 0], distance[:, -1]])
    assert (edge > 0).all(), "the figure runs out of its frame"
    area = (distance < 0).mean() * 9
    assert 0.7 < area < 2.3  # of 4: no figure gives itself away by its size alone
    # A distance changes by no more than the way walked, or the smooth edges would come out hard.
    step = axis[1] - axis[0]
    slopes = np.abs(np.diff(distance, axis=0)).max(), np.abs(np.diff(distance, axis=1)).max()
    assert max(slopes) <= step * 1.01


def test_figures_are_ten_different_ones():
    axis = np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    masks = [measure(*np.meshgrid(axis, axis)) < 0 for measure in shapes._FIGURES.values()]
    for one in range(10):
        for other in range(one):
            assert (masks[one] ^ masks[other]).mean() > 0.01


def test_a_star_has_five_tips_and_five_notches():
    angles = np.linspace(0, 2 * np.pi, 3601, dtype=np.float32)[:-1]
    radius = np.float32(0.7)
    outside = shapes._star(radius * np.cos(angles), radius * np.sin(angles)) > 0
    assert (outside & ~np.roll(outside, 1)).sum() == 5


def test_pictures_vary_in_colour_place_and_noise():
    (images, labels), _ = shapes.make_shapes(500, 10)
    pixels = images.float()
    assert pixels.mean((2, 3)).std(0).min() > 15, "the pictures hardly differ in colour"
    rough = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
    assert rough.quantile(0.9) > 2 * rough.quantile(0.1), "texture and noise hardly differ"
    # Neither the mean colour nor one and the same place gives a class away.
    for kind in range(10):
        spread = pixels[labels == kind].std(0)
        assert spread.min() > 20


@pytest.mark.parametrize(("train", "test"), [(0, 10), (10, 0), (-1, 10)])
def test_too_few_images_are_refused(train, test):
    with pytest.raises(ValueError, match="at least one image"):
        shapes.make_shapes(train, test)


def test_the_full_set_takes_less_than_five_seconds_of_one_core():
    started = time.process_time()
    shapes.make_shapes()
    assert time.process_time() - started < 5
