"""The networks of the BatchNorm lesson.

BatchNorm normalises each channel over all images and positions of the batch, in training; with a
scale and a shift for each channel it adds 2C parameters, and it keeps a running mean and variance
of each channel for evaluation. All networks are built in ``common.networks``; this lesson builds
them with ``nn.BatchNorm2d``. To switch network, give another name:

>>> model = build("plain-18k")
"""

from common.networks import builder

NORM = "batch"

# Each network of the lesson, and the norm it is built with here.
NETWORKS = {
    "course": NORM,  # the same in all three lessons but for its norm
    "plain-18k": NORM,
    "wide-31k": NORM,
    "wide-31k-adaptive": NORM,
    "skip-48k": NORM,
}

build = builder(NETWORKS)
