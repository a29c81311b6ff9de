"""Names of image files: what folders are searched for, and what is named after an image."""

IMAGE_SUFFIXES = (
    ".ome.zarr.zip",
    ".zarr.zip",
    ".ome.zarr",
    ".ome.tiff",
    ".ome.tif",
    ".nii.gz",
    ".zarr",
    ".tiff",
    ".ozx",
    ".tif",
    ".btf",
    ".png",
    ".mrc",
    ".nii",
)
"""Ends of names of images in folders and patterns, the longer before those they end in."""


def image_suffix(name: str) -> str:
    """The end of an image's name, in small letters; empty if it is none of `IMAGE_SUFFIXES`."""
    lower = name.lower()
    return next((one for one in IMAGE_SUFFIXES if lower.endswith(one)), "")


def image_stem(name: str) -> str:
    """An image's name without its end."""
    return name[: len(name) - len(image_suffix(name))]
