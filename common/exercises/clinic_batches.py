"""The clinic's cases of batches: a single class in one, a single image in another."""

from __future__ import annotations

from collections.abc import Callable

import torch

from common.exercises.learner import Learner, treat
from common.exercises.verdict import Verdict, Wrong

_OF_ONE_CLASS = "its mean and variance are those of one class"
_NO_VARIANCE = "1 × 1 feature maps of one image leave nothing to take a variance of"


def check_mixed_batches(make_batches: Callable, *, reveal: bool = True) -> Verdict:
    """Check `make_batches(images, labels, size) -> [(x, y), …]` for images sorted by class.

    images (M, 3, 2, 2), labels (M,); M is a multiple of size. Each batch mixes classes, each image
    comes once an epoch and keeps its label, and every epoch has an order of its own.
    """
    success = "Right: every batch is a sample of all classes."
    return treat(make_batches, _must_mix, success, "" if reveal else _OF_ONE_CLASS)


def check_no_batch_of_one(make_batches: Callable, *, reveal: bool = True) -> Verdict:
    """Check `make_batches(images, labels, size) -> [(x, y), …]`, none of them of a single image.

    images (M, 3, 2, 2), labels (M,), for any M ≥ 2 and size ≥ 2. A left-over of less than a batch
    may be dropped or may join another batch, as long as there is a batch and no image comes twice.
    The images come sorted by class and are to be mixed, as in `check_mixed_batches`.
    """

    def trials(learner: Learner) -> None:
        some = False  # whether there have been batches
        for number, size in (
            (33, 8),
            (32, 8),
            (34, 8),
            (5, 8),
            (9, 4),
            (3, 2),
            (10, 3),
            (2, 2),
        ):
            images, labels = _sorted_images(number)
            batches = _epoch(learner, images, labels, size)
            given = f"For {number} images in batches of {size}"
            _must_hold_something(batches, given, number, size)
            single = next((numbers[0] for numbers, y in batches if len(y) == 1), None)
            if single is not None:
                if sum(numbers.count(single) for numbers, _ in batches) > 1:
                    raise Wrong(
                        f"{given} one batch holds a single image, which is in another one as well.",
                        "what joins another batch leaves the list: .pop() takes it out.",
                    )
                missing = number - sum(len(y) for _, y in batches)
                if missing >= size and all(len(y) == 1 for _, y in batches):
                    raise Wrong(
                        f"{given} a single image is left, and all whole batches are missing.",
                        "is a condition the wrong way round? What stays is what holds more than "
                        "one image, len(part) > 1.",
                    )
                if missing >= size:
                    raise Wrong(
                        f"{given} one batch holds a single image, and a whole one is missing.",
                        "the left-over is the last in the list: batches.pop() or batches[:-1].",
                    )
                raise Wrong(
                    f"{given} one batch holds a single image.",
                    f"{_NO_VARIANCE}. Drop a "
                    "left-over of one (drop_last) or let it join the batch before.",
                )
            _must_be_pairs(batches, labels)
            if not batches:
                raise Wrong(
                    f"{given} there is no batch at all.",
                    "drop_last drops the only batch of a small set: drop only what is left over."
                    if number < size
                    else "for other sizes there are some: is a condition too strict? What may go "
                    "is a left-over, and a batch of two is whole where size is 2."
                    if some
                    else "the list stays empty: put the pairs into it.",
                )
            some = True
            _must_be_complete(batches, number, lost=min(size - 1, number % size), given=given)
            if any(len(y) > size + number % size for _, y in batches):
                raise Wrong(
                    f"{given} one batch holds {max(len(y) for _, y in batches)}.",
                    "no more than the left-over, which is less than a batch, needs another place.",
                )
            larger = sum(max(len(y) - size, 0) for _, y in batches)
            smaller = [len(y) for _, y in batches if len(y) < size]
            # Two, where a left-over has been given images of the batch before.
            shared = len(smaller) == 2 and sum(smaller) == size + number % size
            if larger > number % size or (len(smaller) > 1 and not shared):
                sizes = ", ".join(str(len(y)) for _, y in batches)
                raise Wrong(
                    f"{given} they hold {sizes}.",
                    "use size: only where something is left over one batch may be of another.",
                )
        _must_mix(learner)

    success = "Right: no batch of one, whatever the number of images."
    return treat(make_batches, trials, success, "" if reveal else _NO_VARIANCE)


def _must_mix(learner: Learner) -> None:
    """Two epochs of 40 images of 4 classes, in batches of 10."""
    images, labels = _sorted_images(40)
    epochs = [_epoch(learner, images, labels, 10) for _ in range(2)]
    for batches in epochs:
        _must_hold_something(batches, "Of 40 images in batches of 10", 40, 10)
        _must_be_pairs(batches, labels)
        _must_be_complete(batches, 40, lost=0)
        if any(len(y) != 10 for _, y in batches):
            sizes = ", ".join(str(len(y)) for _, y in batches)
            raise Wrong(f"The batches hold {sizes} images, not 10 each.", "use size.")
        single = next((y for _, y in batches if len(set(y)) == 1), None)
        if single is not None:
            raise Wrong(
                f"A batch of {len(single)} holds images of class {single[0]} alone.",
                f"{_OF_ONE_CLASS}. Mix the images, not the "
                "finished batches: torch.randperm(len(images)), or shuffle=True.",
            )
    if epochs[0] == epochs[1]:
        raise Wrong(
            "Two epochs have the same order.",
            "mix anew in each call: a seed set inside, or a fixed step through the images, "
            "gives the same order every time.",
        )
    # A random batch of 10 out of 4 classes holds 3.9 of them, and hardly ever 2.
    classes = [len(set(y)) for batches in epochs for _, y in batches]
    if sum(classes) < 3 * len(classes):
        raise Wrong(
            f"The batches hold {sum(classes) / len(classes):.1f} of the 4 classes on average.",
            "sorted images that are only turned, reversed or mixed within a part stay among "
            "their like: any image may come anywhere, torch.randperm(len(images)).",
        )


def _sorted_images(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that hold their own number, from 1 on, and labels in ascending order.

    Behind the point each pixel has its place, so that none can be moved unseen.
    """
    numbers = torch.arange(1, number + 1, dtype=torch.float32).reshape(-1, 1, 1, 1)
    return numbers + torch.arange(12).reshape(3, 2, 2) / 16, torch.arange(number) * 4 // number


def _epoch(
    learner: Learner, images: torch.Tensor, labels: torch.Tensor, size: int
) -> list[tuple[list[int], list[int]]]:
    """The learner's batches as (numbers of the images, labels)."""
    x, y, n = images.clone(), labels.clone(), len(images)
    learner.on = f"torch.randn({n}, 3, 2, 2), torch.arange({n}) * 4 // {n} and size {size}"
    batches = _batches(learner(x, y, size), images)
    if not (torch.equal(x, images) and torch.equal(y, labels)):
        raise Wrong(
            "Your code changed the images or the labels that were handed over.",
            "they are the data set: images[order] makes new tensors, images[:] = … and "
            "random.shuffle(images) write over the old ones.",
        )
    return batches


def _batches(given: object, images: torch.Tensor) -> list[tuple[list[int], list[int]]]:
    if given is None:
        raise Wrong("Your function returns nothing.", "is the return line missing?")
    try:
        pairs = [(x, y) for x, y in given]
        if all(x.dim() == 1 and y.dim() == 4 for x, y in pairs) and pairs:
            raise Wrong("The labels come before the images.", "return pairs (images, labels).")
        for x, y in pairs:
            _must_be_a_batch(x, y)
            if not torch.isin(x, images).all():
                raise Wrong(
                    "A batch holds an image that was not handed over.",
                    "the images come as they are: none is made up to fill a batch (zeros, means), "
                    "and none is changed.",
                )
            if x.shape[1:] != images.shape[1:] or bool((x != images[_numbers(x)]).any()):
                raise Wrong(
                    "A batch holds an image whose pixels are in another order.",
                    "mix images, along axis 0 alone: no flip and no roll of an image itself, and "
                    "indices stand first, images[order].",
                )
        return [(_numbers(x).tolist(), y.tolist()) for x, y in pairs]
    except (TypeError, ValueError, IndexError, AttributeError):
        raise Wrong(
            "Your function does not return pairs of tensors.",
            "a list of (images (N, 3, H, W), labels (N,)), or a DataLoader.",
        ) from None


def _numbers(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0, 0, 0].long() - 1


def _must_be_a_batch(x: torch.Tensor, y: torch.Tensor) -> None:
    if x.dim() == 4 and y.dim() == 1:
        return
    hint = "a batch is (images (N, 3, H, W), labels (N,))."
    if x.dim() == 3:
        hint = (
            "a batch of one has its axis N, too (images[k : k + 1], no squeeze), and it takes "
            "several images to make a batch: images[order[k : k + size]]."
        )
    elif x.dim() == 1:
        hint = "are these the indices? The images themselves are images[indices]."
    raise Wrong(
        f"A pair holds tensors of shape {tuple(x.shape)} and {tuple(y.shape)}, which is no batch.",
        hint,
    )


def _must_hold_something(
    batches: list[tuple[list[int], list[int]]], given: str, number: int, size: int
) -> None:
    if all(numbers for numbers, _ in batches):
        return
    if any(numbers for numbers, _ in batches):
        hint = "does a loop or a cut go on behind the last image? Whole batches end there."
    elif number < size:
        hint = "a left-over cut off is all of a small set: cut only what whole batches leave over."
    else:
        hint = "order[:-0] is order[:0], which is empty: cut only where something is left over."
    raise Wrong(f"{given} one batch holds no image at all.", hint)


def _must_be_pairs(batches: list[tuple[list[int], list[int]]], labels: torch.Tensor) -> None:
    for numbers, y in batches:
        if len(numbers) != len(y):
            raise Wrong(
                f"A batch holds {len(numbers)} images, but {len(y)} labels.",
                "each image has its label: cut, join and drop both alike.",
            )
        if any(int(labels[number]) != label for number, label in zip(numbers, y, strict=True)):
            raise Wrong(
                "An image has the label of another one.",
                "mix images and labels by one and the same permutation.",
            )


def _must_be_complete(
    batches: list[tuple[list[int], list[int]]], number: int, lost: int, given: str = "An epoch"
) -> None:
    seen = [k for numbers, _ in batches for k in numbers]
    if len(set(seen)) < len(seen):
        raise Wrong(
            f"{given}: an image comes twice.",
            "each image once: a permutation of all, no random draw, no copies to fill up, and no "
            "batches that overlap (range(0, M, size)). (And random.shuffle is for lists: in a "
            "tensor it writes rows over each other.)",
        )
    if number - len(seen) > lost:
        if sorted(seen) == list(range(len(seen))) != seen:
            raise Wrong(
                f"{given}: only the first {len(seen)} of {number} images come.",
                "is the permutation too short? It is one of all images, "
                "torch.randperm(len(images)), and cut into batches afterwards.",
            )
        raise Wrong(
            f"{given}: {number - len(seen)} of {number} images are missing.",
            "there is only one batch: a return inside a loop ends it in its first round."
            if len(batches) == 1
            else "each image comes once; at most a left-over of less than a batch may be dropped.",
        )
