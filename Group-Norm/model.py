"""The networks of the GroupNorm lesson.

GroupNorm normalises each image by itself, a group of channels at a time; with a scale and a shift
for each channel it adds 2C parameters whatever the number of groups. All networks are built in
``common.networks``; this lesson builds them with ``nn.GroupNorm``. To switch network or the number
of groups, say so:

>>> model = build("wide-31k", groups=2)
"""

from common.networks import builder

NORM = "group"

# Each network of the lesson, and the norm it is built with here.
NETWORKS = {
    "course": NORM,  # the same in all three lessons but for its norm
    # Published as a GroupNorm network, plain-47k holds no GroupNorm: it normalises over
    # [C, H, W]. plain-11k has its widths and the norm that was meant.
    "plain-47k": "layer",
    "plain-11k": NORM,
    "plain-18k": NORM,
    "wide-31k": NORM,
    "wide-31k-adaptive": NORM,
    "skip-48k": NORM,
}

build = builder(NETWORKS)
