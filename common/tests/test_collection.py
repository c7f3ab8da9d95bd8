"""However the tests are shuffled or spread, a notebook's cells stay together and in order."""

from types import SimpleNamespace

from common.tests import conftest


def cell(notebook, number):
    return SimpleNamespace(parent=notebook, cell_num=number)


def test_cells_run_in_order_where_their_notebook_first_comes():
    unit, other = SimpleNamespace(parent="file"), SimpleNamespace(parent="file")
    shuffled = [cell("b", 2), unit, cell("a", 1), cell("b", 0), other, cell("b", 1), cell("a", 0)]
    conftest.pytest_collection_modifyitems(shuffled)
    assert [getattr(item, "cell_num", None) for item in shuffled] == [0, 1, 2, None, 0, 1, None]
    assert [item.parent for item in shuffled] == ["b", "b", "b", "file", "a", "a", "file"]


def test_another_way_of_spreading_them_is_left_alone():
    config = SimpleNamespace(getvalue=lambda _: "loadscope")
    assert conftest.pytest_xdist_make_scheduler(config, None) is None
