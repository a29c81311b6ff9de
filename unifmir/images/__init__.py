"""Microscopy images from and to files, whole and by regions. Nothing here imports torch."""

from unifmir.images.arrays import ArraySink, ArraySource
from unifmir.images.base import AXES, Channel, ImageInfo, Region, Shape, Sink, Source, whole_region
from unifmir.images.image_files import Image, read_image, read_image_file, write_tiff
from unifmir.images.open_files import create_sink, open_source

__all__ = [
    "AXES",
    "ArraySink",
    "ArraySource",
    "Channel",
    "Image",
    "ImageInfo",
    "Region",
    "Shape",
    "Sink",
    "Source",
    "create_sink",
    "open_source",
    "read_image",
    "read_image_file",
    "whole_region",
    "write_tiff",
]
