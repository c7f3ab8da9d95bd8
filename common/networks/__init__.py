"""A network by name.

``registry.py`` has the names and ``build``, ``course.py`` the course's own network, ``field.py``
those of three public repositories, ``candidates.py`` what the search tried, ``blocks.py`` what
they share, and ``summary.py`` torchsummary's table of any of them.
"""

from common.networks.blocks import SMALLEST_IMAGE, Residual
from common.networks.candidates import CANDIDATES, Candidate, Stage
from common.networks.course import CourseNetwork
from common.networks.registry import NETWORKS, Network, build, builder, count_parameters
from common.networks.summary import parameters_missed, skips_missed, summary

__all__ = [
    "CANDIDATES",
    "NETWORKS",
    "SMALLEST_IMAGE",
    "Candidate",
    "CourseNetwork",
    "Network",
    "Residual",
    "Stage",
    "build",
    "builder",
    "count_parameters",
    "parameters_missed",
    "skips_missed",
    "summary",
]
