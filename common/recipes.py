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
# Each norm's best learning rate among the same three on the same split: results/search.csv.
OWN_RATES = {"batch": 0.04, "group": 0.04, "layer": 0.02}


def course_recipe(
    norm: str, seed: int = 1, epochs: int | None = None, *, tuned: bool = False
) -> Recipe:
    """The course's recipe for a norm, ``batch``, ``group``, ``layer`` or ``none``.

    The same for all of them, or, ``tuned``, with the norm's own best learning rate (``none`` has
    the shared one). Raises ``ValueError`` for an unknown norm.
    """
    from common.norms import KINDS

    if norm not in KINDS:
        raise ValueError(f"Unknown norm {norm!r}; choose one of {', '.join(KINDS)}.")
    rate = OWN_RATES.get(norm, SHARED.learning_rate) if tuned else SHARED.learning_rate
    return replace(SHARED, learning_rate=rate, seed=seed, epochs=epochs or SHARED.epochs)
