"""Draw the picture of the napari plugin: a sample beside its result, with the widget.

    xvfb-run -a -s "-screen 0 1400x900x24" python -m benchmarks.studies.napari_picture

writes docs/pictures/napari.png. It needs the extra `napari` and a Qt, as `make napari-check` has
them, and a screen, if a made-up one: without one Qt (`offscreen`) draws no OpenGL into its windows.
"""

import io
import time
from collections.abc import Callable

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

from unifmir.atomic import writing
from unifmir.benchmarks.studies.result_files import REPO

PICTURE = REPO / "docs" / "pictures" / "napari.png"
SIZE = (1240, 600)
"""Width and height of the window, in pixels."""
PLANE = 8
PATIENCE_S = 300.0


def main() -> None:
    """Restore the denoising sample as a user would, and save the window."""
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    (sample,) = viewer.open_sample("unifmir", "denoise")
    _, widget = viewer.window.add_plugin_dock_widget("unifmir", "Restore")
    widget.task.value = "denoise"
    widget.layer.value = sample
    sample.contrast_limits = np.percentile(sample.data, (1, 99))
    widget.restore()
    _let_qt_work(lambda: not widget.running, PATIENCE_S)
    viewer.canvas.grid.enabled = True
    viewer.dims.set_current_step(0, PLANE)
    viewer.reset_view()
    _let_qt_work(lambda: False, 2.0)
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    data = io.BytesIO()
    shot.save(data, "PNG", optimize=True)
    with writing(PICTURE) as path:
        path.write_bytes(data.getvalue())
    viewer.close()


def _let_qt_work(until: Callable[[], bool], seconds: float) -> None:
    """Let Qt draw and react until something is so, at most for so long."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main()
