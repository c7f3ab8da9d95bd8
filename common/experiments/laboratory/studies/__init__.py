"""The studies of the laboratory, one a file, in the order in which they are listed."""

from common.experiments.laboratory.declare import Study
from common.experiments.laboratory.studies import (
    batch,
    birth,
    cost,
    curves,
    groups,
    init,
    layers,
    noise,
    rate,
    recipe,
    rows,
    shift,
    shifts,
    size,
    transformer,
)

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY
    for module in (
        birth,
        init,
        rate,
        batch,
        shift,
        noise,
        size,
        groups,
        layers,
        rows,
        transformer,
        curves,
        shifts,
        cost,
        recipe,
    )
}


def find_studies(names: list[str]) -> list[Study]:
    """The studies of these names, all for none. Raises ``ValueError`` for an unknown one."""
    if unknown := [name for name in names if name not in STUDIES]:
        raise ValueError(f"There is no study {unknown[0]!r}; there are {', '.join(STUDIES)}.")
    return [STUDIES[name] for name in names or STUDIES]
