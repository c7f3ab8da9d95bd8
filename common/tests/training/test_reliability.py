"""How sure a network is and how often it is right, against cases counted by hand."""

import numpy as np
import pytest
import torch

from common.training import reliability


def logits(*shares: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def test_by_hand():
    # Two bins, up to 50 % and above. Sure by 40 %: right. By 80 % and 60 %: one right, one wrong.
    found = reliability(
        logits((0.4, 0.35, 0.25), (0.8, 0.1, 0.1), (0.2, 0.6, 0.2)), torch.tensor([0, 0, 2]), bins=2
    )
    assert found.count.tolist() == [1, 2]
    assert found.confidence == pytest.approx([40, 70])
    assert found.accuracy == pytest.approx([100, 50])
    assert found.error == pytest.approx((1 * 60 + 2 * 20) / 3)
    assert found.excess == pytest.approx((40 + 80 + 60) / 3 - 200 / 3)


def test_an_edge_belongs_to_the_bin_below_and_certainty_to_the_last():
    found = reliability(logits((0.5, 0.5), (1.0, 0.0)), torch.tensor([0, 0]), bins=2)
    assert found.count.tolist() == [1, 1]
    assert found.error == pytest.approx(25)


def test_bins_without_images_have_no_mean_and_no_part_in_the_error():
    found = reliability(logits((0.9, 0.1)), torch.tensor([0]))
    assert np.isnan(found.accuracy[:13]).all()
    assert found.accuracy[13] == 100
    assert found.error == pytest.approx(10)


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="0 images in 15 bins"):
        reliability(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="1 images in 0 bins"):
        reliability(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), bins=0)


@pytest.mark.parametrize(
    ("given", "labels", "words"),
    [
        (torch.zeros(3, 2), [0, 1], "do not belong together"),
        (torch.zeros(2), [0, 1], "do not belong together"),
        (torch.zeros(2, 2), [0, 2], "labels go from 0 to 2; of 2 classes"),
        (torch.full((2, 2), 0.5), [0, 1], "are probabilities"),
        (torch.full((2, 2), torch.nan), [0, 1], "are no numbers"),
    ],
)
def test_what_says_nothing_of_confidence_is_refused(given, labels, words):
    with pytest.raises(ValueError, match=words):
        reliability(given, torch.tensor(labels))
