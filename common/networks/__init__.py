"""A network by name.

``registry.py`` has the names and ``build``, ``course.py`` the course's own network, ``field.py``
those of three public repositories, ``candidates.py`` what the search tried, ``blocks.py`` what
they share, and ``summary.py`` torchsummary's table of any of them. For the claims laboratory:
``plain.py`` a plain stack of any depth, ``sequences.py`` a recurrent network and a transformer,
``variants.py`` norms that belong to no lesson.
"""

from common.networks.blocks import SMALLEST_IMAGE, Residual
from common.networks.candidates import CANDIDATES, Candidate, Stage
from common.networks.course import CourseNetwork
from common.networks.plain import PlainStack
from common.networks.registry import NETWORKS, Network, build, builder, count_parameters
from common.networks.sequences import RowReader, TinyTransformer
from common.networks.summary import parameters_missed, skips_missed, summary
from common.networks.variants import (
    GhostBatchNorm,
    QuietBatchNorm,
    RMSNorm2d,
    ShakenBatchNorm,
    replace_norms,
    without_norms,
)

__all__ = [
    "CANDIDATES",
    "NETWORKS",
    "SMALLEST_IMAGE",
    "Candidate",
    "CourseNetwork",
    "GhostBatchNorm",
    "Network",
    "PlainStack",
    "QuietBatchNorm",
    "RMSNorm2d",
    "Residual",
    "RowReader",
    "ShakenBatchNorm",
    "Stage",
    "TinyTransformer",
    "build",
    "builder",
    "count_parameters",
    "parameters_missed",
    "replace_norms",
    "skips_missed",
    "summary",
    "without_norms",
]
