"""The networks of the BatchNorm lesson.

BatchNorm normalises each channel over all images and positions of the batch, in training; with a
scale and a shift for each channel it adds 2C parameters, and it keeps a running mean and variance
of each channel for evaluation. All networks are built in ``common.models``; this lesson builds
them with ``nn.BatchNorm2d``. To switch network, give another name:

>>> model = build("plain-18k")
"""

from torch import nn

from common import models

NORM = "batch"

# Each network of the lesson, and the norm it is built with here.
NETWORKS = {
    "course": NORM,  # the same in all three lessons but for its norm
    "plain-18k": NORM,
    "wide-31k": NORM,
    "wide-31k-adaptive": NORM,
    "skip-48k": NORM,
}


def build(network: str = "course", norm: str | None = None, **options: int | None) -> nn.Module:
    """A network of this lesson, ``(N, 3, H, W)`` to ``(N, classes)``, freshly initialised.

    ``norm=None`` takes the lesson's norm; ``options`` (``classes``, ``image_size``) and the errors
    raised are those of ``common.models.build``.
    """
    return models.build(network, norm or NETWORKS.get(network, NORM), **options)
