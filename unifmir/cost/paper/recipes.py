"""Recipes of the paper's cost tables: how each row was counted, as far as that can be known.

A recipe names the network, the input, how often it runs, the convention and what was called
parameters. Where the paper's figure is not what the recipe gives, it says what is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unifmir.config import (
    BodyConfig,
    ModelConfig,
    MultiTaskConfig,
    ProjectorConfig,
    ReferenceConfig,
    ViewUNetConfig,
)

Definition = Literal["all", "layers", "scalars"]
"""Definitions of parameters. `all`: every trainable value. `layers`: of layers that contain no
other, as conventions A and C count. `scalars`: elements of all tensors in the official file."""


@dataclass(frozen=True, slots=True)
class Run:
    """A network, or one part of it, on one input, so many times."""

    config: ModelConfig
    shape: tuple[int, ...]
    """Shape of the input, batch included."""
    repeats: int = 1
    """Tiles of the whole image."""
    part: str = ""
    """Name of the submodule that is counted; empty for the network."""
    task: str = ""
    """Task that a multi-task network is asked for."""


@dataclass(frozen=True, slots=True)
class Other:
    """Another way to count a row, that explains the printed figure or does not."""

    description: str
    runs: tuple[Run, ...]
    convention: str = "B"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a row is computed."""

    run: Run
    convention: str
    parameters: Definition = "all"
    others: tuple[Other, ...] = ()
    note: str = ""
    """Remark for readers even where the figures agree."""
    params_why: str = ""
    gflops_why: str = ""
    bops_why: str = ""
    """Why the printed figure is another one, where that is known."""


FULL = MultiTaskConfig(BodyConfig(), ProjectorConfig(), ViewUNetConfig())
"""The network of the paper."""
_PRUNE, _FULL_NAME = "prune-UniFMIR", "UniFMIR"

_CARE_WHY = (
    "the parameters are csbdeep's network, the operations another's: 181 x 32 kernels a pixel, "
    "where csbdeep's layers take 201 x 32 in 3-D and 289 x 32 in 2-D; no network with both is known"
)
_GVT_WHY = (
    "not the published network, although the paper says that public models were used; a variant "
    "made to fit has both figures, which is no proof that it was used"
)
_GVT_PROJECTION_WHY = "not the published network; no variant of it was found that fits"
_CARE_PROJECTION_WHY = (
    "the parameters are csbdeep's network, the operations another's, about half as many; no "
    "network with both is known"
)
_78_WHY = (
    "rounded to a tenth in the paper; the official file has 78.6543 M trainable values, of which "
    "78.6300 M in layers"
)
_100_WHY = (
    "0.0077 M more than the tensors of the official file hold, buffers included: 100.3994 M; "
    "97.886 M are trainable"
)
_ISO_NOTE = (
    "188 slices of 188 x 301 pixels, padded to 192 x 304; 301 slices of 188 x 188, as the input is "
    "printed, give 2.6374e5. One of the two passes, along x and along y, is counted"
)
_TILED = "the GFLOPs are of the whole image, not of the printed input"


def _pruned(task: str) -> ModelConfig:
    return FULL.single(task)


def _reference(name: str, task: str, **options: int) -> ReferenceConfig:
    return ReferenceConfig(name, task, tuple(sorted(options.items())))


_PORT = _reference("gvtnets", "denoise", paper_port=1)
_CARE = _reference("care", "denoise")
_GVT = _reference("gvtnets", "denoise")
_UNPADDED = "as many voxels as printed, four tiles at a time so that no plane is padded"
_300_PLANES = (1, 1, 300, 188, 188)
_PROJECTION_SPLIT = Other(
    "the projector on 130 x 172 pixels and the restoration on 144 x 176: found by trying, no "
    "tiling of the official code gives these",
    (
        Run(_pruned("projection"), (1, 50, 130, 172), 16, part="project"),
        Run(_pruned("projection"), (1, 1, 144, 176), 16, part="denoise"),
    ),
)


def _training(task: str, shape: tuple[int, ...]) -> Recipe:
    run = Run(FULL, shape, task=task)
    return Recipe(run, "C", "scalars", params_why=_100_WHY)


_PREDICTION: dict[tuple[str, str], Recipe] = {
    ("sr", "DFCAN"): Recipe(
        Run(_reference("dfcan", "sr"), (1, 1, 128, 128)),
        "B",
        bops_why="a slip: 31.5098 GFLOPs x 1.024 are 32.2660",
    ),
    ("sr", "XTC"): Recipe(
        Run(_reference("care-2d", "sr"), (1, 1, 128, 128)), "B", gflops_why=_CARE_WHY
    ),
    ("sr", "ENLCN"): Recipe(Run(_reference("enlcn", "sr"), (1, 1, 128, 128)), "B"),
    ("sr", _PRUNE): Recipe(
        Run(_pruned("sr"), (1, 1, 128, 128)),
        "A",
        "layers",
        note="in the convention of the other prediction rows, B, it is 24.9593",
    ),
    ("denoise", "CARE"): Recipe(
        Run(_CARE, (1, 1, 41, 160, 128), 32),
        "B",
        gflops_why=_CARE_WHY,
        others=(Other(_UNPADDED, (Run(_CARE, (1, 1, 4 * 41, 160, 128), 8),)),),
        note=f"{_TILED}; ours pads 41 planes to 44",
    ),
    ("denoise", "GVTNets"): Recipe(
        Run(_GVT, (1, 1, 41, 160, 128), 32),
        "B",
        others=(
            Other(_UNPADDED, (Run(_GVT, (1, 1, 4 * 41, 160, 128), 8),)),
            Other("variant made to fit, `paper_port`", (Run(_PORT, (1, 1, 41, 160, 128), 32),)),
        ),
        params_why=_GVT_WHY,
        gflops_why=_GVT_WHY,
        note=f"{_TILED}; ours pads 41 planes to 44",
    ),
    ("denoise", _PRUNE): Recipe(
        Run(_pruned("denoise"), (41, 5, 160, 128), 32),
        "B",
        "layers",
        bops_why="a slip: 40003 GFLOPs x 1.024 are 40963",
        note=f"{_TILED}; five slices in, where one of the official networks reads one",
    ),
    ("isotropic", "CARE"): Recipe(
        Run(_CARE, (1, 1, 301, 188, 188), 16),
        "B",
        gflops_why=_CARE_WHY,
        others=(Other("300 planes, which need no padding", (Run(_CARE, _300_PLANES, 16),)),),
        note=f"{_TILED}; ours pads 301 planes to 304",
    ),
    ("isotropic", _PRUNE): Recipe(
        Run(_pruned("isotropic"), (188, 1, 188, 301), 16),
        "B",
        "layers",
        bops_why="follows from the GFLOPs as they are printed",
        note=_ISO_NOTE,
    ),
    ("projection", "CARE"): Recipe(
        Run(_reference("care-projection", "projection"), (1, 1, 50, 144, 176), 16),
        "B",
        gflops_why=_CARE_PROJECTION_WHY,
        note=_TILED,
    ),
    ("projection", "GVTNets"): Recipe(
        Run(_reference("gvtnets-projection", "projection"), (1, 1, 50, 144, 176), 16),
        "B",
        params_why=_GVT_PROJECTION_WHY,
        gflops_why=_GVT_PROJECTION_WHY,
        note=_TILED,
    ),
    ("projection", _PRUNE): Recipe(
        Run(_pruned("projection"), (1, 50, 144, 176), 16),
        "B",
        "layers",
        others=(_PROJECTION_SPLIT,),
        params_why=_78_WHY,
        gflops_why="less than the printed input costs",
        note=_TILED,
    ),
    ("volume", "VCD-Net"): Recipe(
        Run(_reference("vcd-net", "volume"), (1, 121, 15, 15), 16, part="unet"),
        "B",
        note=f"{_TILED}; UniFMIR's own view U-Net on views that are not padded",
    ),
    ("volume", _PRUNE): Recipe(
        Run(_pruned("volume"), (1, 121, 15, 15), 16),
        "B",
        "scalars",
        note=f"{_TILED}; 15 x 15 views are padded to 16 x 16",
    ),
}

_TRAINING: dict[tuple[str, str], Recipe] = {
    ("sr", "ENLCN"): Recipe(
        Run(_reference("enlcn", "sr"), (4, 1, 128, 128)),
        "C",
        note="of a batch of 4, where the printed input is one image",
    ),
    ("sr", "DFCAN"): Recipe(Run(_reference("dfcan", "sr"), (4, 1, 128, 128)), "C"),
    ("sr", "XTC"): Recipe(
        Run(_reference("care-2d", "sr"), (4, 1, 128, 128)), "C", gflops_why=_CARE_WHY
    ),
    ("sr", _FULL_NAME): _training("sr", (4, 1, 128, 128)),
    ("denoise", "CARE"): Recipe(Run(_CARE, (32, 1, 16, 64, 64)), "B", gflops_why=_CARE_WHY),
    ("denoise", "GVTNets"): Recipe(
        Run(_GVT, (32, 1, 16, 64, 64)),
        "B",
        others=(Other("variant made to fit, `paper_port`", (Run(_PORT, (32, 1, 16, 64, 64)),)),),
        params_why=_GVT_WHY,
        gflops_why=_GVT_WHY,
    ),
    ("denoise", _FULL_NAME): _training("denoise", (32, 5, 64, 64)),
    ("isotropic", "CARE"): Recipe(
        Run(_reference("care", "isotropic"), (32, 1, 1, 64, 64)),
        "C",
        gflops_why="csbdeep's network cannot halve a depth of one plane; ours pads it to four",
    ),
    ("isotropic", _FULL_NAME): _training("isotropic", (32, 1, 64, 64)),
    ("projection", "CARE"): Recipe(
        Run(_reference("care-projection", "projection"), (4, 1, 50, 64, 64)),
        "C",
        gflops_why=_CARE_PROJECTION_WHY,
    ),
    ("projection", "GVTNets"): Recipe(
        Run(_reference("gvtnets-projection", "projection"), (4, 1, 50, 64, 64)),
        "C",
        params_why=_GVT_PROJECTION_WHY,
        gflops_why=_GVT_PROJECTION_WHY,
    ),
    ("projection", _FULL_NAME): _training("projection", (4, 50, 64, 64)),
    ("volume", "VCD-Net"): Recipe(
        Run(_reference("vcd-net", "volume"), (1, 121, 16, 16), part="unet"), "C"
    ),
    ("volume", _FULL_NAME): _training("volume", (1, 121, 16, 16)),
}

RECIPES: Mapping[tuple[int, str, str], Recipe] = {
    **{(1, *key): recipe for key, recipe in _TRAINING.items()},
    **{(2, *key): recipe for key, recipe in _PREDICTION.items()},
}
"""Extended Data Table, task and model of each row; both precisions of a network share one."""
