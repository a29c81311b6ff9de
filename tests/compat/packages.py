"""Small packages of every task: for the tests here, and for other versions of bioimageio.core.

Run as a script it builds one package per task: `python -m tests.compat.packages FOLDER [TASK ...]`.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from tests.golden.weights import filled
from unifmir.config import BodyConfig, MultiTaskConfig, ProjectorConfig, ViewUNetConfig
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit, Person
from unifmir.export.formats.bioimageio.card import default_card
from unifmir.export.formats.bioimageio.package import PackageInputs, build_package
from unifmir.export.formats.onnx import ONNX
from unifmir.export.formats.torchscript import TORCHSCRIPT
from unifmir.export.lineage import lineage_of
from unifmir.model import Provenance, build, image_interface
from unifmir.networks.base import Network
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.tasks import TASKS

# Windows of 4 pixels: the smallest tiles, and with them the library's test, shrink with them.
TINY = MultiTaskConfig(
    body=BodyConfig(embed_dim=12, depths=(2,), num_heads=(2,), window_size=4, mlp_hidden=24),
    projector=ProjectorConfig(planes=6, features=8, blocks=8, match_features=4, random_features=8),
    view_unet=ViewUNetConfig(
        views=9, planes=5, stem_features=32, entry_features=8, encoder=(8, 8, 12, 12, 12)
    ),
    tail_features=8,
    volume_tail_features=12,
)
NAMELESS = "sr"
"""Task of the package without authors and licence: the format's older libraries must read it."""
_SHAPES = {
    "sr": (80, 90),
    "denoise": (7, 80, 90),
    "isotropic": (40, 44, 48),
    "projection": (6, 64, 70),
    "volume": (81, 90),
}


def network(task: str) -> Network:
    """A small single-task network whose weights depend on nothing but the parity rule."""
    module = build(TINY.single(task))
    module.load_state_dict(filled(module.state_dict(), seed=0))
    return module


def image(task: str) -> np.ndarray:
    """Blobs on a camera offset, with shot noise: raw intensities in the task's axes."""
    rng = np.random.default_rng(5)
    blobs = np.clip(gaussian_filter(rng.standard_normal(_SHAPES[task]), 2), 0, None)
    noisy: np.ndarray = rng.poisson(100 + 3000 * blobs / blobs.max()).astype(np.float32)
    return noisy


def inputs(task: str, folder: Path, model: Network | None = None) -> PackageInputs:
    """Export a small network to `folder` and gather what a package of it needs."""
    model = model or network(task)
    module = image_interface(model)
    folder.mkdir(parents=True, exist_ok=True)
    traced = example(model.config, "image")
    lineage = lineage_of(
        model.config, "image", Precision("fp32"), Provenance("tiny.safetensors", "0" * 64)
    )
    recipe = plan_precision(module, "fp32", [traced]).recipe
    job = ExportJob(model, module, traced, lineage, recipe, 17, Credit())
    onnx_file, torchscript_file = folder / "m.onnx", folder / "m.pt"
    ONNX.write(job, onnx_file)
    TORCHSCRIPT.write(job, torchscript_file)
    card = default_card(
        task,
        name=f"UniFMIR {TASKS[task].title} (compatibility test)".replace("-", " "),
        timestamp="2026-01-01T00:00:00+00:00",
        unifmir_version="0.1.0",
    )
    # No maintainer: the library would ask GitHub whether there is such a user.
    card = replace(
        card,
        git_repo="https://example.org/unifmir",
        authors=(Person("Ada Author", "An institute"),),
        packaged_by=(Person("Ada Author"),),
        licence="CC-BY-4.0",
    )
    return PackageInputs(
        network=model,
        module=module,
        onnx_file=onnx_file,
        torchscript_file=torchscript_file,
        image=image(task),
        card=card,
        image_note="made by the tests",
        image_source="https://example.org/images",
        lineage=asdict(lineage),
    )


def half_precision(given: PackageInputs, folder: Path) -> PackageInputs:
    """The same package with weights stored in fp16."""
    rounded = build(given.network.config)
    weights = {
        key: value.half().float() if value.is_floating_point() else value
        for key, value in given.network.state_dict().items()
    }
    rounded.load_state_dict(weights)
    narrow = inputs(given.network.config.task, folder, rounded)
    return replace(narrow, network=given.network, storage="float16")


def main(folder: Path, tasks: list[str]) -> None:
    """Build one package per task, and one that names nobody and no licence."""
    torch.set_num_threads(2)
    for task in tasks or list(TASKS):
        given = inputs(task, folder / task)
        built = {task: given}
        if task == NAMELESS:
            card = replace(given.card, authors=(), packaged_by=(), licence="")
            built[f"{task}-nobody"] = replace(given, card=card)
        for name, contents in built.items():
            result = build_package(contents, folder / f"{name}.zip")
            print(f"{name}: {result.summary.status}, expected score {result.score.total}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
