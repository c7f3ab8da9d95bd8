"""What three public sources say of their networks, and the runs that put it to the test.

Each network of the field is trained twice, on the same images: with its source's own recipe, its
defects repaired, and with the course's. ``FIELD`` lists the networks with what their sources
claim; ``field_runs`` turns the list into runs for ``common.experiments.run_all``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from common.training import Recipe

if TYPE_CHECKING:
    from common.experiments.runs import Run

RECIPES = ("source", "course")
# A source made one run of each network; the course asks how much a run depends on its seed.
SEEDS = {"source": (1,), "course": (1, 2, 3)}


@dataclass(frozen=True)
class Claim:
    """What a source reports of one run, always after its last epoch.

    Attributes:
        test: accuracy on CIFAR-10's 10,000 test images, in %.
        train: running average of the last epoch, in %: over augmented images, with dropout, while
            the weights still move. It is not the accuracy of the trained network.
        epochs: how many there were.
        best: the best test accuracy after any epoch, in %, where the source shows all of them and
            it is another than ``test``. No table of the course reports it.
    """

    test: float
    train: float
    epochs: int
    best: float | None = None


@dataclass(frozen=True)
class Source:
    """A public repository and the way it trains its networks.

    Attributes:
        name: the repository on GitHub.
        recipe: its own, as ``common.training`` writes it.
        repairs: what is a defect there and is done right here, a sentence each.
        differences: what the course does differently without calling it a defect.
    """

    name: str
    recipe: Recipe
    repairs: tuple[str, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One network with one norm.

    Attributes:
        network, norm: as ``common.networks.build`` takes them.
        source: where the network, or its widths, come from.
        recipe: the source's own for this network; None if it is trained with the course's alone.
        claim: what the source reports; None if it reports nothing.
        note: what a reader of the table must know of this row, or empty.
    """

    network: str
    norm: str
    source: Source
    recipe: Recipe | None
    claim: Claim | None = None
    note: str = ""


_NO_SEED = "No seed was set; here every run has one."
_WRONG_DEVIATIONS = (
    "The images were divided by deviations that are not those of CIFAR-10's pixels (0.2023, "
    "0.1994, 0.2010); here by those of the training images."
)
_SMALL_LAST_BATCH = "The last, smaller batch of an epoch is left out."

PLAIN = Source(
    "vmistry-repo/AI-Novice",
    Recipe(
        optimiser="adam",
        learning_rate=0.01,
        schedule="plateau",
        patience=2,
        epochs=20,
        batch_size=128,
        weight_decay=0.0,
        shift=4,
        flip=True,
    ),
    repairs=(
        "The learning rate was lowered whenever the loss of one batch, the epoch's last, had not "
        "*risen* for three epochs (a scheduler set to look for a maximum). Here it is lowered when "
        "the epoch's mean training loss has not fallen for three epochs.",
    ),
    differences=(_SMALL_LAST_BATCH,),
)
WIDE = Source(
    "srikanthp1/S8",
    Recipe(
        optimiser="sgd",
        learning_rate=0.02,
        momentum=0.9,
        nesterov=False,
        schedule="one-cycle-cosine",
        warmup=0.3,
        epochs=15,
        batch_size=512,
        weight_decay=0.0,
        shift=0,
        flip=False,
    ),
    repairs=(_NO_SEED, _WRONG_DEVIATIONS),
    differences=(_SMALL_LAST_BATCH,),
)
SKIP = Source(
    "woncoh1/era1a8",
    Recipe(
        optimiser="sgd",
        learning_rate=0.5,
        momentum=0.9,
        nesterov=False,
        schedule="one-cycle-cosine",
        warmup=0.3,
        epochs=20,
        batch_size=128,
        weight_decay=0.0,
        shift=0,
        flip=False,
        augmentation="randaugment",
    ),
    repairs=(_NO_SEED, _WRONG_DEVIATIONS),
    differences=(
        _SMALL_LAST_BATCH,
        "RandAugment works on tensors here and on PIL images there; its operations and their "
        "strengths are the same.",
    ),
)

_MINE = "Not in the source: this course's norm in the source's widths."
# The source trained its LayerNorm network, and no other, with smaller batches and weight decay.
_PLAIN_LAYER = replace(PLAIN.recipe, batch_size=32, weight_decay=1e-5)

FIELD = (
    Entry("plain-18k", "batch", PLAIN, PLAIN.recipe, Claim(70.75, 68.80, 20, best=70.80)),
    Entry("plain-18k", "group", PLAIN, PLAIN.recipe, note=_MINE),
    Entry("plain-18k", "layer", PLAIN, PLAIN.recipe, note=_MINE),
    Entry(
        "plain-47k",
        "layer",
        PLAIN,
        PLAIN.recipe,
        Claim(63.97, 60.18, 20, best=63.99),
        note="Called GroupNorm by the source; it holds none.",
    ),
    Entry(
        "plain-11k",
        "group",
        PLAIN,
        PLAIN.recipe,
        note="The widths of plain-47k with the norm that its source names.",
    ),
    Entry("plain-27k", "layer", PLAIN, _PLAIN_LAYER, Claim(57.04, 53.00, 20)),
    Entry(
        "plain-44k",
        "layer",
        PLAIN,
        _PLAIN_LAYER,
        note="The source shows its layers but no run; its target was about 70 %.",
    ),
    Entry("wide-31k", "batch", WIDE, WIDE.recipe, Claim(75.77, 80.49, 15)),
    Entry("wide-31k", "group", WIDE, WIDE.recipe, Claim(74.18, 78.59, 15)),
    Entry("wide-31k", "layer", WIDE, WIDE.recipe, Claim(74.98, 79.55, 15)),
    *(
        Entry("wide-31k-adaptive", norm, WIDE, None, note="wide-31k, averaging the whole map.")
        for norm in ("batch", "group", "layer")
    ),
    Entry("skip-48k", "batch", SKIP, SKIP.recipe, Claim(81.67, 80.50, 20)),
    Entry("skip-48k", "group", SKIP, SKIP.recipe, Claim(74.97, 72.77, 20)),
    Entry("skip-48k", "layer", SKIP, SKIP.recipe, Claim(73.70, 71.39, 20)),
)


def recipe_of(entry: Entry, which: str, seed: int) -> Recipe | None:
    """The ``source``'s or the ``course``'s recipe for a network of the field; None without one.

    Raises ``ValueError`` for another recipe's name.
    """
    from common.training import course_recipe

    if which not in RECIPES:
        raise ValueError(f"Unknown recipe {which!r}; choose from {', '.join(RECIPES)}.")
    if which == "course":
        return course_recipe(entry.norm, seed)
    return replace(entry.recipe, seed=seed) if entry.recipe else None


def field_runs(
    recipes: Sequence[str] = RECIPES,
    networks: Sequence[str] | None = None,
    norms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    data: str = "cifar10",
    jpeg: int | None = None,
) -> list[Run]:
    """The runs of the study, seed by seed, so that what is cut short has covered every network.

    Args:
        recipes: ``source``, ``course`` or both.
        networks, norms: only these (default: all of ``FIELD``).
        seeds: for every recipe (default: one for the source's, three for the course's).
        data: as ``load_images`` takes it.
        jpeg: a quality at which the images are stored as JPEG first (``common.data.compression``).

    Raises ``ValueError`` for a name that ``FIELD`` does not hold, a quality that JPEG does not
    know, or if nothing is left to train.
    """
    from common.data import check_quality
    from common.experiments.runs import Run

    ending = "" if jpeg is None else f"-jpeg{check_quality(jpeg)}"

    for what, asked, known in (
        ("recipe", recipes, list(RECIPES)),
        ("network", networks or (), list(dict.fromkeys(entry.network for entry in FIELD))),
        ("norm", norms or (), list(dict.fromkeys(entry.norm for entry in FIELD))),
    ):
        if unknown := [name for name in asked if name not in known]:
            raise ValueError(f"The field has no {what} {unknown[0]!r}; it has {', '.join(known)}.")
    asked_for = [
        (seed, which)
        for which in dict.fromkeys(recipes)
        for seed in dict.fromkeys(seeds or SEEDS[which])
    ]
    entries = [
        entry
        for entry in FIELD
        if entry.network in (networks or (entry.network,))
        and entry.norm in (norms or (entry.norm,))
    ]
    runs = [
        Run(entry.network, entry.norm, recipe, data=data, label=f"{which}{ending}", jpeg=jpeg)
        for seed, which in sorted(asked_for, key=lambda pair: pair[0])
        for entry in entries
        if (recipe := recipe_of(entry, which, seed))
    ]
    if not runs:
        raise ValueError(
            "Nothing is left to train: no network of the field has this norm, or only the course's "
            "recipe is meant for it (--recipes course)."
        )
    return runs
