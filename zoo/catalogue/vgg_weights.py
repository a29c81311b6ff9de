"""Published weights of VGG-19, whose features the contextual bilateral loss compares."""

import logging
from pathlib import Path

from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.training.vgg_features import VggFeatures, read_vgg_features
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.servers import server_address

logger = logging.getLogger(__name__)

PYTORCH_VARIABLE = "UNIFMIR_PYTORCH_URL"
"""Address of a mirror of PyTorch's server of models."""
PYTORCH_URL = "https://download.pytorch.org"
FILENAME = "vgg19-dcbb9e9d.pth"
"""Name of torchvision's file, with the first eight digits of its SHA-256."""
SHA256 = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
SIZE_BYTES = 574_673_361


def vgg_features(file: str = "") -> VggFeatures:
    """The features that a training compares.

    Parameters
    ----------
    file : str
        A file of VGG-19's or VGG-16's weights; empty: the published VGG-19's, downloaded once.

    Raises
    ------
    CheckpointError
        The file is none of such weights.
    ZooError
        It cannot be had; says how to get it.
    """
    return read_vgg_features(Path(file) if file else local_vgg())


def local_vgg() -> Path:
    """The published file on this machine, downloaded if it is not there yet or is damaged.

    Raises
    ------
    ZooError
        It cannot be had, or is another file.
    """
    # Imported here: requests takes 0.1 s to import, and most uses find the file.
    from unifmir.zoo.catalogue import transfer

    folder = directories.cache() / "features"
    place = folder / FILENAME
    if place.is_file():
        if sha256_of(place) == SHA256:
            return place
        logger.warning("%s is damaged: it is got again", place)
    url = f"{server_address(PYTORCH_VARIABLE, PYTORCH_URL)}/models/{FILENAME}"
    with transfer.lock_folder(folder):
        try:
            partial = transfer.download(
                url, folder, size_bytes=SIZE_BYTES, checksum=f"sha256:{SHA256}"
            )
        except ZooError as error:
            raise ZooError(
                f"the weights of VGG-19, whose features the loss `cobi` compares, cannot be had: "
                f"{error}. With a copy of {PYTORCH_URL}/models/{FILENAME}: `features = "
                '"FILE"` in the configuration'
            ) from error
        partial.replace(place)
    return place
