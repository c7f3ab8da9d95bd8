"""How the course trains its network: one shared recipe, and one a norm at its own learning rate."""

from __future__ import annotations

from dataclasses import replace

from common.training import Recipe

SHARED = Recipe()


def course_recipe(norm: str, seed: int = 1, epochs: int | None = None) -> Recipe:
    """The course's recipe for a norm, ``batch``, ``group``, ``layer`` or ``none``.

    Raises ``ValueError`` for an unknown norm.
    """
    from common.norms import KINDS

    if norm not in KINDS:
        raise ValueError(f"Unknown norm {norm!r}; choose one of {', '.join(KINDS)}.")
    return replace(SHARED, seed=seed, epochs=epochs or SHARED.epochs)
