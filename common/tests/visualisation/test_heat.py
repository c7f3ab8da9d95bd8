"""Maps of any numbers on one scale of colours."""

from __future__ import annotations

import pytest

from common.visualisation import heat_maps

WORDS = {"xlabel": "column", "ylabel": "row", "label": "scale", "title": "t", "dataset": "d"}


def test_all_heat_maps_share_one_scale_that_is_white_at_the_centre():
    rows = {"seed 1": {"norm": [[1.0, 1.5]]}, "seed 2": {"norm": [[0.75, 1.25]]}}
    figure = heat_maps(rows, centre=1, **WORDS)
    first, second, bar = figure.axes
    assert {one.images[0].get_clim() for one in (first, second)} == {(0.5, 1.5)}
    assert second.images[0].get_array().tolist() == [[0.75, 1.25]]
    assert (first.get_ylabel(), second.get_xlabel()) == ("seed 1\nrow", "column")
    assert bar.get_ylabel() == "scale"


def test_columns_that_belong_together_are_parted_from_the_next():
    axes = heat_maps({"a": {"": [[1, 2, 3, 4, 5]]}}, every=2, **WORDS).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5, 3.5]


@pytest.mark.parametrize(
    ("rows", "word"), [({}, "rows"), ({"a": {}}, "panels"), ({"a": {"b": [1, 2]}}, "'b'")]
)
def test_a_heat_map_of_nothing_is_refused(rows, word):
    with pytest.raises(ValueError, match=word):
        heat_maps(rows, **WORDS)
