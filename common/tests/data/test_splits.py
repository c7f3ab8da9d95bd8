"""Parts of a data set."""

import pytest
import torch

from common.data import load_images, small


def test_small_images_are_some_of_the_images_at_a_smaller_size():
    data = load_images("shapes")
    few = small(data, train=60, test=30)
    assert few.train.images.shape == (60, 3, 16, 16)
    assert few.test.images.shape == (30, 3, 16, 16)
    assert few.train.images.dtype == torch.uint8
    brightness = few.train.images.float().mean()
    assert brightness == pytest.approx(data.train.draw(60).images.float().mean(), abs=1)
    assert "60 training images at 16×16" in few.name
