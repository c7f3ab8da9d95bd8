"""Images as tensors, whole data sets at a time.

``images.py`` finds a data set by name or from a folder, ``folders.py`` lists and keeps pictures,
``decoding.py`` reads one, ``download.py`` fetches CIFAR-10, ``shapes.py`` makes the stand-in.
``types.py`` says what a data set is, ``splits.py`` takes parts of one, ``batches.py`` augments and
cuts batches, and ``compression.py`` stores images as JPEG once more.
"""

from common.data.batches import Batches, Normaliser, resized
from common.data.compression import check_quality, compress, describe
from common.data.images import CIFAR10_NAMES, folder_name, is_cifar10, load_images
from common.data.splits import first_images, hold_out, small
from common.data.types import ImageData, ImageSet, channel_statistics

__all__ = [
    "CIFAR10_NAMES",
    "Batches",
    "ImageData",
    "ImageSet",
    "Normaliser",
    "channel_statistics",
    "check_quality",
    "compress",
    "describe",
    "first_images",
    "folder_name",
    "hold_out",
    "is_cifar10",
    "load_images",
    "resized",
    "small",
]
