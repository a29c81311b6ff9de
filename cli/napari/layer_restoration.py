"""A layer restored in a process of its own, without Qt and without torch."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from unifmir.cli.napari.layer_image import LayerImage
from unifmir.cli.napari.result_layer import LayerData, result_layer
from unifmir.cli.napari.visible_part import Interval
from unifmir.errors import UnifmirError
from unifmir.machine import default_threads
from unifmir.plain_text_values import parse_json
from unifmir.zoo.restore.job_process import JobOrder
from unifmir.zoo.restore.restore_settings import RestoreSettings, for_caller
from unifmir.zoo.restore.restoring_process import RestoringProcess


@dataclass(frozen=True, slots=True)
class RestorationNews:
    """How far a restoration is."""

    text: str
    done: int = 0
    total: int = 0
    """Tiles; 0: not known yet."""


class LayerRestoration:
    """The restoration of a layer, or of a part of it.

    Parameters
    ----------
    image : LayerImage
    settings : RestoreSettings
        Whose axes are the file's.
    region : five intervals, optional
        Along t, c, z, y and x; all of the image where not given.
    """

    def __init__(
        self,
        image: LayerImage,
        settings: RestoreSettings,
        region: tuple[Interval, Interval, Interval, Interval, Interval] | None = None,
    ) -> None:
        self._image, self._settings, self._region = image, settings, region
        self._process: RestoringProcess | None = None
        self._source = Path(image.name)
        self._stopped = Event()
        self.layer: LayerData | None = None
        """The result, once there is one."""
        self.failure: str | None = None
        """Why there is none, if that is not because it was cancelled."""

    @property
    def cancelled(self) -> bool:
        """Whether it was."""
        return self._stopped.is_set()

    def cancel(self) -> None:
        """End it now, from any thread. Nothing of it is left."""
        self._stopped.set()
        if self._process is not None:
            self._process.cancel()

    def run(self) -> Iterator[RestorationNews]:
        """Restore, and say how far it is. At the end there is a layer, or a failure."""
        try:
            with tempfile.TemporaryDirectory(prefix="unifmir-") as folder:
                yield from self._run(Path(folder))
        except (UnifmirError, OSError) as error:
            if not self._stopped.is_set():
                self.failure = for_caller(str(error), self._source, self._image.name)

    def _run(self, folder: Path) -> Iterator[RestorationNews]:
        yield RestorationNews("writing the image for the process that restores")
        self._source = self._image.write(folder)
        target, report = folder / "result.tif", folder / "report.json"
        order = JobOrder(
            source=str(self._source),
            target=str(target),
            report=str(report),
            settings=self._settings,
            threads=default_threads(),
            region=self._region,
        )
        if self._stopped.is_set():
            return
        yield RestorationNews("loading the model")
        with RestoringProcess(order, folder / "messages.txt") as process:
            self._process = process
            if self._stopped.is_set():  # while it was started
                process.cancel()
            for told in process.told():
                if told["event"] == "progress":
                    yield _news(told)
        if self._stopped.is_set():
            return
        facts = parse_json(report.read_bytes())
        self.layer = result_layer(self._image, self._settings.task, target, facts)


def _news(told: dict[str, Any]) -> RestorationNews:
    done, total, left = told["done"], told["total"], told["seconds_left"]
    ending = ""
    if left is not None:
        ending = f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
    return RestorationNews(f"restoring, {done} of {total} tiles{ending}", done, total)
