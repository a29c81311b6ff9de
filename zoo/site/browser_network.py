"""Facts of an exported network with which a browser restores as `unifmir restore` does."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unifmir.config import SingleConfig
from unifmir.export.lineage import IMAGE, RESTORED
from unifmir.export.runtimes import RUNTIMES
from unifmir.images.base import Source
from unifmir.interfaces import InputKind, interface_of
from unifmir.restoration.base import Predictor
from unifmir.restoration.geometry import TileGeometry, Z, tile_geometry
from unifmir.restoration.image_check import sampling_of
from unifmir.restoration.memory_budget import estimated_bytes_per_pixel
from unifmir.restoration.percentiles import measure_range
from unifmir.restoration.receptive_field import Reach, cached_reach, unmeasured_reach
from unifmir.restoration.resampling import StackView
from unifmir.restoration.restoration_options import Options, intensity_of
from unifmir.restoration.sampling_levels import level_view
from unifmir.restoration.tile_size import LEAST_TILE, RUN_PIXELS, ramp_of
from unifmir.tasks import TASKS


@dataclass(frozen=True, slots=True)
class BrowserNetwork:
    """Facts of one network as it is exported for browsers, as JSON values; sizes are z, y, x."""

    task: str
    input_name: str
    output_name: str
    input_axes: tuple[str, ...]
    """Names of the input's axes; `name=size` where the size is fixed."""
    output_axes: tuple[str, ...]
    result_axes: str
    """Axes of the result, of z, y, x."""
    low_percent: float
    high_percent: float
    clip: bool
    scaled_inside: bool
    """The network scales by the whole image's brightest pixel itself: it is given raw numbers."""
    invertible: bool
    intensity: str
    """How intensities come back; that of `unifmir restore` where nothing is asked for."""
    low_frequency_px: float
    counterpart: str
    """Image that the result is held against: the raw stack, or its maximum along z."""
    way: str
    """Function of `unifmir.restoration.tile_inference` whose way a tile is restored."""
    neighbours: int
    """Planes that are read on each side of a restored one."""
    grid: tuple[int, int, int]
    halo: tuple[int, int, int]
    scale: int
    whole_depth: bool
    planes: int | None
    """Planes of the result; None: those of the image."""
    planes_read: int | None
    """Planes that the image must have; None: any number."""
    ramp: int
    """Pixels of the result over which tiles are blended; 0: they are cropped."""
    cut: tuple[bool, bool, bool]
    """Axes along which an image may be cut into tiles."""
    least_tile: int
    """Overlaps that the smallest tile is long."""
    lens_px: int
    isotropic: bool
    """Whether planes have to lie as far apart as pixels."""
    run: Literal["plane", "section", "volume"]
    """Part of what is read that one image of a run holds: a plane, a section along z, or all."""
    run_pixels: int
    """Pixels of small images that are run at once."""
    bytes_per_pixel: float
    """Memory that a run needs for each pixel."""


def site_interface(config: SingleConfig) -> InputKind:
    """Kind of input of a file for browsers: a user's image, or the sections of one.

    An image interface that runs all sections of a stack at once needs more memory than browsers
    have.
    """
    return "network" if interface_of(config).axial else "image"


def browser_network(predictor: Predictor, source: Source) -> BrowserNetwork:
    """Facts of a network, whose overlap of tiles is measured on an image.

    Parameters
    ----------
    predictor : Predictor
        The plain network.
    source : Source
        An image of the task, whose planes lie as far apart as its pixels.
    """
    config = predictor.config
    row, signature, task = interface_of(config), config.signature, TASKS[config.task]
    reach = _reach(predictor, source)
    geometry = tile_geometry(config, reach.halo)
    kind = site_interface(config)
    axes_in, axes_out = row.axes(signature, kind)
    way = row.tiles if kind == "network" else row.image_tiles
    normalization = config.normalization
    runtime = RUNTIMES["onnxruntime"]
    return BrowserNetwork(
        task=task.name,
        input_name=IMAGE,
        output_name=RESTORED,
        input_axes=axes_in,
        output_axes=axes_out,
        result_axes=task.output_axes,
        low_percent=normalization.low_percent,
        high_percent=normalization.high_percent,
        clip=normalization.clip,
        scaled_inside=normalization.inside,
        invertible=normalization.invertible,
        intensity=intensity_of(config, Options()),
        low_frequency_px=task.low_frequency_px,
        counterpart=row.counterpart,
        way=way.partition(":")[2],
        neighbours=row.slices(signature) // 2,
        **_tiles(config, geometry),
        ramp=ramp_of(geometry, reach),
        least_tile=LEAST_TILE,
        planes_read=signature.channels if row.depth == "fixed" else 1 if row.lenses else None,
        lens_px=row.lens_px(signature),
        isotropic=task.isotropic_sampling,
        run_pixels=RUN_PIXELS["cpu"],
        bytes_per_pixel=estimated_bytes_per_pixel(
            config, runtime.body_maps, holds_attention=runtime.holds_attention
        ),
    )


def _tiles(config: SingleConfig, geometry: TileGeometry) -> dict[str, Any]:
    """How an image is cut: as `unifmir.restoration.tile_size` cuts for a file."""
    deep, lenses = geometry.grid[Z] > 1, interface_of(config).lenses
    run = "volume" if config.signature.volumetric else "section" if deep else "plane"
    # A file cannot be told where a tile of a light field lies.
    return {**asdict(geometry), "cut": (deep, not lenses, not lenses), "run": run}


def _reach(predictor: Predictor, source: Source) -> Reach:
    config = predictor.config
    if interface_of(config).lenses:
        return unmeasured_reach(config)
    isotropic = TASKS[config.task].isotropic_sampling
    options = Options(z_factor=1.0) if isotropic else Options()
    sampling = sampling_of(source, config, options)
    view = level_view(source, 0, 0, sampling.base, sampling.levels[0])
    scaling = measure_range(StackView(source, 0, 0), config.normalization).scaling
    return cached_reach(predictor, view, scaling)
