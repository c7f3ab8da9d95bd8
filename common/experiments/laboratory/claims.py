"""What is said about the norms, in our words: where it is heard, and what can decide it."""

from __future__ import annotations

from dataclasses import dataclass

AI_NOVICE = "vmistry-repo/AI-Novice"
S8 = "srikanthp1/S8"
ERA = "woncoh1/era1a8"
WRITE_UPS = "public course write-ups"
PAPERS = {
    "BN": "Ioffe & Szegedy, 2015",
    "GN": "Wu & He, 2018",
    "LN": "Ba et al., 2016",
    "RMS": "Zhang & Sennrich, 2019",
    "shift": "Santurkar et al., 2018",
    "depth": "Yang et al., 2019",
    "here": "this course asks",
}
COMMON = "common slip"


@dataclass(frozen=True)
class Claim:
    """One claim and what speaks to it: studies (which name it in their contrasts) or words.

    Attributes:
        key: what studies call it.
        said: the claim.
        heard: where: a repository, a paper, ``common slip`` or ``this course asks``.
        lesson: where it is worked out: a lesson, and a heading's number or name.
        proof: what is proven, if it is a matter of a formula or an equality; and
        test: the test that proves it.
        proven: what the proof says of the claim.
        untestable: why nothing can decide it as it stands.
        often: one of the claims heard most, which the first page shows.
    """

    key: str
    said: str
    heard: str
    lesson: str = ""
    proof: str = ""
    test: str = ""
    proven: str = ""
    untestable: str = ""
    often: bool = False


_NORMS = "common/tests/test_norms.py::"

CLAIMS = (
    Claim(
        "group-batch-statistics",
        "GroupNorm, like BatchNorm, computes statistics of the batch.",
        AI_NOVICE,
        "Group norm, section 4",
        "An image's output under GN and LN is the same whatever images are beside it; under BN in "
        "train mode it is not.",
        f"{_NORMS}test_batch_mates_change_batch_norm_and_no_other_norm",
        "wrong",
        often=True,
    ),
    Claim(
        "group-parameters",
        "A GroupNorm layer has 2G parameters, two a group.",
        AI_NOVICE,
        "Group norm, section 6",
        "It has 2C, two a channel, whatever G is.",
        f"{_NORMS}test_parameter_counts",
        "wrong",
    ),
    Claim(
        "more-groups-than-channels",
        "With more groups than channels GroupNorm has more parameters than BatchNorm.",
        AI_NOVICE,
        "Group norm, section 6",
        "The groups must divide the channels, so there are at most C of them: more is an error.",
        f"{_NORMS}test_groups_must_divide_the_channels",
        "wrong",
    ),
    Claim(
        "one-group",
        "GroupNorm with one group is LayerNorm.",
        f"{S8}, {ERA}",
        "Layer norm, section 7",
        "The statistics are the same, the outputs equal before training. The scale and shift "
        "differ: 2C against 2CHW, so the trained layers differ.",
        f"{_NORMS}test_one_group_is_layer_norm_at_the_start_but_not_after_training",
        "half right",
    ),
    Claim(
        "fixed-shape",
        "LayerNorm is for one image size.",
        f"{AI_NOVICE} (by its layers)",
        "Layer norm, section 9",
        "Over [C, H, W] it is: its scale and shift have that shape. Over channels, or as one "
        "group, it takes any size.",
        f"{_NORMS}test_layer_norm_over_the_image_refuses_another_image_size",
        "right for one of three readings",
    ),
    Claim(
        "same-batch-size",
        "The three networks were compared at the same batch size.",
        AI_NOVICE,
        "Compare and choose, section 9",
        "The code trains LayerNorm's in batches of 32 and the others' in batches of 128; the "
        "recipes of the field hold it.",
        "common/tests/experiments/test_laboratory.py::"
        "test_the_source_trained_layer_norm_in_smaller_batches",
        "wrong",
    ),
    Claim(
        "stable-on-small",
        "LayerNorm stands small batches better than BatchNorm.",
        AI_NOVICE,
        "Group norm, section 5",
        often=True,
    ),
    Claim(
        "stabler-than-group",
        "LayerNorm stands small batches better than GroupNorm, which needs groups.",
        AI_NOVICE,
        "Group norm, section 5",
    ),
    Claim(
        "needs-large-batches",
        "BatchNorm needs large batches.",
        f"{AI_NOVICE}; {PAPERS['GN']}",
        "Group norm, section 5",
        often=True,
    ),
    Claim(
        "larger-batches-better",
        "BatchNorm's lead grows with the batch.",
        WRITE_UPS,
        "Group norm, section 5",
    ),
    Claim(
        "statistics-alone",
        "At small batches it is only the running statistics that are off: measuring them anew "
        "mends it.",
        PAPERS["here"],
        "Group norm, section 5",
    ),
    Claim(
        "less-overfitting-larger-batches",
        "BatchNorm reduces overfitting most at large batches.",
        WRITE_UPS,
        "Batch norm, section 8",
    ),
    Claim(
        "trains-faster",
        "Networks with BatchNorm train faster.",
        f"{AI_NOVICE}; {PAPERS['BN']}",
        "Batch norm, section 11",
        often=True,
    ),
    Claim(
        "larger-rates",
        "BatchNorm allows larger learning rates.",
        PAPERS["BN"],
        "Batch norm, section 11",
        often=True,
    ),
    Claim(
        "one-rate",
        "The three norms have different best learning rates (their sources train all with one).",
        f"{ERA} uses one for all",
        "Group norm, section 11",
    ),
    Claim(
        "less-shift",
        "With BatchNorm the distributions of the layers' inputs move less.",
        f"{AI_NOVICE}; {PAPERS['BN']}",
        "Batch norm, section 10",
    ),
    Claim(
        "by-less-shift",
        "Networks with BatchNorm train faster because their layers' inputs move less: take the "
        "stillness away and the gain is gone.",
        f"{AI_NOVICE}; contested by {PAPERS['shift']}",
        "Batch norm, section 10",
        often=True,
    ),
    Claim(
        "shaken-still-helps",
        "BatchNorm helps even where the inputs are moved at random.",
        PAPERS["shift"],
        "Batch norm, section 10",
    ),
    Claim(
        "smoother-landscape",
        "BatchNorm makes the gradient change less along a step.",
        PAPERS["shift"],
        "Batch norm, section 10",
    ),
    Claim(
        "gradient-flow",
        "A norm keeps gradients from vanishing or exploding.",
        AI_NOVICE,
        "Why normalise, section 6",
        often=True,
    ),
    Claim(
        "activations-held",
        "A norm keeps the values in a network from becoming too large or too small.",
        AI_NOVICE,
        "Why normalise, section 6",
        often=True,
    ),
    Claim(
        "batch-explodes",
        "In a deep plain network BatchNorm itself makes gradients explode.",
        PAPERS["depth"],
        "Why normalise, section 6",
    ),
    Claim(
        "skips-mend",
        "Skip connections mend the gradients that BatchNorm makes explode.",
        PAPERS["depth"],
        "Why normalise, section 6",
    ),
    Claim(
        "initialisation",
        "BatchNorm makes a network less sensitive to its initial weights.",
        AI_NOVICE,
        "Why normalise, section 10",
        often=True,
    ),
    Claim(
        "regularises",
        "BatchNorm regularises, by the noise of its batches.",
        f"{AI_NOVICE}; {PAPERS['BN']}",
        "Batch norm, section 8",
        often=True,
    ),
    Claim(
        "noise-generalises",
        "The noise of its batches raises the test accuracy of BatchNorm.",
        AI_NOVICE,
        "Batch norm, section 8",
    ),
    Claim(
        "more-noise",
        "More of that noise (statistics of fewer images) raises the test accuracy further.",
        PAPERS["here"],
        "Batch norm, section 8",
    ),
    Claim(
        "better-generalisation",
        "BatchNorm generalises better than the others.",
        f"{AI_NOVICE} says the reverse, that GroupNorm may do so",
        "Compare and choose, section 4",
    ),
    Claim(
        "small-models",
        "LayerNorm does better than the others in small networks.",
        AI_NOVICE,
        "Compare and choose, section 9",
        often=True,
    ),
    Claim(
        "over-regularises",
        "LayerNorm does so because BatchNorm regularises small networks too much.",
        AI_NOVICE,
        "Compare and choose, section 9",
    ),
    Claim(
        "little-data",
        "With few training images the norms without batch noise do better.",
        AI_NOVICE,
        "Group norm, section 11",
    ),
    Claim(
        "lower-memory",
        "GroupNorm needs less memory than BatchNorm.",
        AI_NOVICE,
        "Group norm, section 11",
    ),
    Claim(
        "number-of-groups",
        "More groups are better, up to a point.",
        PAPERS["GN"],
        "Group norm, section 8",
    ),
    Claim(
        "instance-loses",
        "One group a channel loses accuracy.",
        PAPERS["GN"],
        "Group norm, section 8",
    ),
    Claim(
        "lost-in-the-last",
        "One group a channel loses it in the last norm, before the average, where each channel's "
        "strength is divided out.",
        PAPERS["here"],
        "Group norm, section 8",
    ),
    Claim(
        "correlated-channels",
        "GroupNorm suits channels that are correlated: those of one group are.",
        f"{WRITE_UPS}; {PAPERS['GN']}",
        "Group norm, section 10",
    ),
    Claim(
        "three-readings",
        "The three layer norms for images do equally well.",
        PAPERS["here"],
        "Layer norm, section 7",
    ),
    Claim(
        "centring",
        "Centring is worth having: LayerNorm beats RMSNorm.",
        f"denied by {PAPERS['RMS']}",
        "Layer norm, section 7",
    ),
    Claim(
        "spatial-structure",
        "LayerNorm suits images of strong spatial structure.",
        WRITE_UPS,
        "Layer norm, section 9",
    ),
    Claim(
        "sequences",
        "LayerNorm suits sequences better.",
        f"{AI_NOVICE}; {PAPERS['LN']}",
        "Layer norm, section 5",
        often=True,
    ),
    Claim(
        "variable-length",
        "GroupNorm is bad at sequences of varying length.",
        AI_NOVICE,
        "Layer norm, section 5",
    ),
    Claim(
        "transformers",
        "LayerNorm suits transformers better.",
        f"{AI_NOVICE} (of sequences)",
        "Layer norm, section 6",
    ),
    Claim(
        "first-to-60",
        "BatchNorm reaches 60 % first.",
        S8,
        "Batch norm, section 11",
    ),
    Claim(
        "smoother-curve",
        "LayerNorm's curve is smooth, BatchNorm's has bumps.",
        S8,
        "Compare and choose, section 4",
    ),
    Claim(
        "robust",
        "LayerNorm is more robust than BatchNorm to images of another distribution.",
        AI_NOVICE,
        "Layer norm, section 8",
        often=True,
    ),
    Claim(
        "fresh-statistics",
        "On images of another distribution BatchNorm suffers by its old statistics: those of the "
        "test batch mend it.",
        PAPERS["here"],
        "Batch norm, section 9",
    ),
    Claim(
        "nine-points",
        "BatchNorm leads in the skip network (its source: by seven to eight points).",
        ERA,
        "Compare and choose, section 5",
    ),
    Claim(
        "recipe-made-it",
        "A single setting of the recipe makes BatchNorm's lead in the skip network.",
        PAPERS["here"],
        "Compare and choose, section 5",
    ),
    Claim(
        "same-feature",
        "BatchNorm suits CNNs because each channel extracts one feature.",
        S8,
        untestable="Neither what one feature is nor what it should bring is said: any outcome "
        "would agree with it. Whether channels learn something in common within a group is "
        "measured above.",
    ),
    Claim(
        "no-assumption",
        "LayerNorm makes no assumption about the distribution of its inputs.",
        AI_NOVICE,
        untestable="No norm assumes one: each subtracts a mean and divides by a deviation of "
        "whatever is there. What may follow from it, robustness, is measured above.",
    ),
    Claim(
        "independent",
        "BatchNorm assumes independent inputs of one distribution.",
        AI_NOVICE,
        untestable="Its formula assumes nothing. What was meant, that its statistics are poor "
        "where inputs depend on each other, is measured with sequences above.",
    ),
    Claim(
        "limited-resources",
        "GroupNorm is the better choice on limited machines.",
        AI_NOVICE,
        untestable="It depends on which limit is meant. What small batches, memory and time cost "
        "is measured above and in the study `cost`.",
    ),
)
