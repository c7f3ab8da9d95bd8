"""How the course trains its network: one recipe, the same for every norm."""

from __future__ import annotations

from dataclasses import replace

from common.training import Recipe

# Chosen on a validation split of the training images with batch norm, then given to all three.
SHARED = Recipe(
    optimiser="muon",
    learning_rate=0.02,
    momentum=0.95,
    side_learning_rate=3e-3,
    weight_decay=0.0,
    schedule="one-cycle",
    warmup=0.2,
    epochs=20,
    batch_size=128,
    shift=2,
)


def course_recipe(norm: str, seed: int = 1, epochs: int | None = None) -> Recipe:
    """The course's recipe for a norm, ``batch``, ``group``, ``layer`` or ``none``.

    Raises ``ValueError`` for an unknown norm.
    """
    from common.norms import KINDS

    if norm not in KINDS:
        raise ValueError(f"Unknown norm {norm!r}; choose one of {', '.join(KINDS)}.")
    return replace(SHARED, seed=seed, epochs=epochs or SHARED.epochs)
