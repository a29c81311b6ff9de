"""A session of napari without a screen that uses the plugin; what it saw is written as JSON.

    QT_QPA_PLATFORM=offscreen xvfb-run -a python -m tests.helpers.napari_session FOLDER

In a process of its own: Qt's state ends with it, and its modules are the plugin's.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import npe2
import numpy as np
from qtpy.QtWidgets import QApplication

from unifmir.cli.napari.layer_image import LayerImage
from unifmir.tasks import TASKS

PATIENCE_S = 240.0


class Session:
    """A viewer with the plugin's widget, and what happens in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _registered()
        self.viewer = napari.Viewer(show=False)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("unifmir", "Restore")
        # As `closeEvent` of napari's window asks it.
        self.task_manager = self.viewer.window._task_status_manager
        self.tasks_seen: set[str] = set()
        self.told: list[str] = []

    def waited(self, until: Callable[[], bool]) -> None:
        """Let Qt work until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            QApplication.processEvents()
            self.tasks_seen |= set(self.task_manager.get_status())
            text = str(self.widget.told.value)
            if text and (not self.told or self.told[-1] != text):
                self.told.append(text)
            if time.monotonic() > end:
                raise TimeoutError(text)
            time.sleep(0.01)

    def sample(self, task: str) -> Any:
        """Open a task's sample alone, and choose it and the task in the widget."""
        self.viewer.layers.clear()
        (layer,) = self.viewer.open_sample("unifmir", task)
        self.widget.task.value = task
        self.widget.layer.value = layer
        return layer

    def restored(self, start: Callable[[], None]) -> Any:
        """The layer that a click brings."""
        before = len(self.viewer.layers)
        self.told.clear()
        start()
        assert self.widget.running, self.widget.told.value
        self.waited(lambda: not self.widget.running)
        assert len(self.viewer.layers) == before + 1, self.told
        return self.viewer.layers[-1]


def _registered() -> str:
    """Where the manifest comes from: the installed distribution, or this checkout."""
    manager = npe2.PluginManager.instance()
    manager.discover()
    if "unifmir" in manager:
        return "installed"
    path = Path(__file__).resolve().parents[2] / "cli" / "napari" / "napari.yaml"
    manager.register(npe2.PluginManifest.from_file(path))
    return "checkout"


def facts(layer: Any) -> dict[str, Any]:
    """What a layer says of itself, as JSON values."""
    return {
        "name": layer.name,
        "shape": list(layer.data.shape),
        "dtype": str(layer.data.dtype),
        "scale": [float(one) for one in layer.scale],
        "translate": [float(one) for one in layer.translate],
        "units": [str(one) for one in layer.units],
        "labels": list(layer.axis_labels),
        "contrast": [float(one) for one in layer.contrast_limits],
        "colormap": layer.colormap.name,
    }


def each_task(session: Session) -> dict[str, Any]:
    """Each sample restored whole: before and after."""
    found = {}
    for task in TASKS:
        layer = session.sample(task)
        layer.colormap = "green"
        if TASKS[task].isotropic_sampling:
            session.widget.z_factor.value = 1.0
        result = session.restored(session.widget.restore)
        np.save(session.folder / f"{task}.npy", result.data)
        LayerImage.of(layer).write(session.folder).rename(session.folder / f"{task}.tif")
        found[task] = {"before": facts(layer), "after": facts(result), "told": list(session.told)}
    return found


def tried_part(session: Session) -> dict[str, Any]:
    """A part of the denoising sample on the screen, and the same part of the whole."""
    layer = session.sample("denoise")
    layer.scale, layer.units = (2.0, 0.1, 0.1), ("um", "um", "um")
    layer.translate = (10.0, 0.0, 5.0)
    whole = session.restored(session.widget.restore)
    session.viewer.layers.remove(whole)
    session.viewer.dims.set_current_step(0, 3)
    session.viewer.camera.zoom = 120  # of what is a tenth of a micrometre
    session.viewer.camera.center = tuple(layer.data_to_world((3, 60, 70)))
    session.viewer.screenshot(flash=False)  # what is shown is known once it is drawn
    part = session.restored(session.widget.try_on_view)
    first = np.round((np.array(part.translate) - layer.translate) / layer.scale).astype(int)
    region = tuple(
        slice(start, start + length) for start, length in zip(first, part.data.shape, strict=True)
    )
    error = np.abs(part.data - whole.data[region]).max() / np.ptp(whole.data)
    return {"part": facts(part), "first": first.tolist(), "error": float(error)}


def turned(session: Session) -> float:
    """Largest distance of a turned and sheared layer's corners from those of its result."""
    session.viewer.layers.clear()
    image = np.random.default_rng(1).poisson(50, (2, 16, 24)).astype(np.uint16)
    layer = session.viewer.add_image(
        image,
        axis_labels=("t", "y", "x"),
        scale=(1.0, 0.3, 0.2),
        translate=(0.0, 5.0, -7.0),
        rotate=(0.0, 30.0, 0.0),
        shear=(0.0, 0.1, 0.2),
        affine=np.array([[1, 0, 0, 0], [0, 0.9, 0.2, 3], [0, -0.2, 0.9, 4], [0, 0, 0, 1.0]]),
    )
    session.widget.task.value = "sr"
    session.widget.layer.value = layer
    result = session.restored(session.widget.restore)
    pairs = [
        ((t, y - 0.5, x - 0.5), (t, 2 * y - 0.5, 2 * x - 0.5))
        for t in (0, 1)
        for y in (0, 16)
        for x in (0, 24)
    ]
    apart = [np.array(layer.data_to_world(a)) - np.array(result.data_to_world(b)) for a, b in pairs]
    return float(np.abs(apart).max())


def cancelled(session: Session) -> dict[str, Any]:
    """A long restoration that is cancelled when it has begun."""
    session.viewer.layers.clear()
    image = np.random.default_rng(0).poisson(50, (64, 512, 512)).astype(np.uint16)
    layer = session.viewer.add_image(image, axis_labels=("z", "y", "x"), name="long")
    session.widget.task.value = "denoise"
    session.widget.layer.value = layer
    session.widget.restore()
    run = session.widget._running
    session.waited(lambda: "restoring" in str(session.widget.told.value))
    process = run._process._process
    began = time.monotonic()
    session.widget.cancel()
    session.waited(lambda: not session.widget.running)
    return {
        "seconds": time.monotonic() - began,
        "ended": process.poll() is not None,
        "told": str(session.widget.told.value),
        "layers": len(session.viewer.layers),
        "busy": session.task_manager.is_busy(),
    }


def refused(session: Session) -> dict[str, str]:
    """What is said of what cannot be restored."""
    layer = session.sample("isotropic")
    said = {}
    session.widget.axes.value = "yx"
    session.widget.restore()
    said["axes"] = str(session.widget.told.value)
    session.widget.axes.value = "zyx"
    session.widget.z_factor.value = 0.0
    session.widget.restore()
    session.waited(lambda: not session.widget.running)
    said["z step"] = str(session.widget.told.value)
    session.viewer.layers.remove(layer)
    colours = session.viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    session.widget.layer.value = colours
    session.widget.restore()
    said["colours"] = str(session.widget.told.value)
    return said


def main() -> None:
    """Run the session."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    session = Session(folder)
    seen = {
        "manifest": session.manifest,
        "tasks": each_task(session),
        "part": tried_part(session),
        "turned": turned(session),
        "cancelled": cancelled(session),
        "refused": refused(session),
        "task_manager": sorted(session.tasks_seen),
        "torch": sorted(name for name in sys.modules if name.partition(".")[0] == "torch"),
    }
    (folder / "seen.json").write_text(json.dumps(seen, indent=1), "utf-8")
    session.viewer.close()


if __name__ == "__main__":
    main()
