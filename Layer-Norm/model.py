"""The networks of the LayerNorm lesson.

LayerNorm normalises each image by itself, over all channels and positions at once. What it costs
depends on the scale and shift: one pair a channel, 2C parameters, is ``nn.GroupNorm(1, C)``; one
pair a position, 2·C·H·W parameters, is ``nn.LayerNorm([C, H, W])``, which fixes the image size.
All networks are built in ``common.networks``. To switch network, give another name:

>>> model = build("plain-27k")
"""

from common.networks import builder

NORM = "layer"

# Each network of the lesson, and the norm it is built with here.
NETWORKS = {
    "course": NORM,  # the same in all three lessons but for its norm
    # A scale and a shift for every position, 32×32 images only:
    "plain-27k": NORM,
    "plain-44k": NORM,
    # A scale and a shift for every channel:
    "plain-18k": NORM,
    "wide-31k": NORM,
    "wide-31k-adaptive": NORM,
    "skip-48k": NORM,
}

build = builder(NETWORKS)
