"""The widget: a layer, a task and a model are chosen, tried on the view, and restored."""

from functools import partial
from typing import Any, Self

from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    create_widget,
)
from napari.layers import Image
from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import progress
from napari.viewer import Viewer

from unifmir.cli.napari.layer_image import LayerImage, guessed_axes
from unifmir.cli.napari.layer_restoration import LayerRestoration, RestorationNews
from unifmir.cli.napari.visible_part import visible_region
from unifmir.errors import UnifmirError
from unifmir.interfaces import INTERFACES
from unifmir.tasks import TASKS
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.index import entries
from unifmir.zoo.catalogue.pull import present_file
from unifmir.zoo.restore.restore_settings import RestoreSettings


class _NamedRun(partial[Any]):
    """The run of a restoration, by the name that napari's task manager shows."""

    def __new__(cls, restoration: LayerRestoration, title: str) -> Self:
        """A generator function without arguments."""
        made = super().__new__(cls, LayerRestoration.run, restoration)
        made.restoration, made.title = restoration, title
        return made

    restoration: LayerRestoration
    title: str

    def __str__(self) -> str:
        return f"UniFMIR: {self.title}"


class RestorationWorker(GeneratorWorker):
    """A worker that ends its process when it is told to quit, as when napari is closed."""

    def __init__(self, run: _NamedRun) -> None:
        super().__init__(run)
        self._restoration = run.restoration

    def quit(self) -> None:
        """End the process, and with it the work."""
        self._restoration.cancel()


class RestoreWidget(Container[Any]):
    """Choices of a restoration, its progress, and its end.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are restored; napari gives it.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._running: LayerRestoration | None = None
        self._gone = False
        self._bar: Any = None
        self.layer: Any = create_widget(label="image", annotation=Image)
        tasks = [(spec.title, spec.name) for spec in TASKS.values()]
        self.task = ComboBox(label="task", choices=tasks)
        self.model = ComboBox(label="model", choices=models_for(self.task.value))
        self.file = FileEdit(
            label="or a file",
            nullable=True,
            value=None,
            filter="*.pt *.pth *.safetensors *.onnx *.zip",
            tooltip="A checkpoint, or a file of `unifmir export`, in place of a model of the zoo",
        )
        self.axes = LineEdit(label="axes", tooltip="One letter an axis: some of t, c, z, y, x")
        self.z_factor = FloatSpinBox(
            label="z factor",
            tooltip="Distance of planes over the pixel size; 0: as the layer's scale says",
        )
        self.lens_pitch = FloatSpinBox(
            label="lens pitch", tooltip="Pixels of the image a lens; 0: those of the network"
        )
        self.try_button = PushButton(text="Try on this view")
        self.restore_button = PushButton(text="Restore")
        self.cancel_button = PushButton(text="Cancel", enabled=False)
        self.bar = ProgressBar(visible=False)
        self.told = Label(value="")
        super().__init__()
        # Not given above: labels become equally wide as widgets are added.
        self.extend(
            [
                self.layer,
                self.task,
                self.model,
                self.file,
                self.axes,
                self.z_factor,
                self.lens_pitch,
                self.try_button,
                self.restore_button,
                self.cancel_button,
                self.bar,
                self.told,
            ]
        )
        # Long names and messages must not widen napari's dock.
        for wide in (self.layer, self.task, self.model):
            wide.native.setMinimumContentsLength(18)
            policies = wide.native.SizeAdjustPolicy
            wide.native.setSizeAdjustPolicy(policies.AdjustToMinimumContentsLengthWithIcon)
        self.told.native.setWordWrap(True)
        self.layer.changed.connect(self._layer_chosen)
        self.task.changed.connect(self._task_chosen)
        self.try_button.changed.connect(self.try_on_view)
        self.restore_button.changed.connect(self.restore)
        self.cancel_button.changed.connect(self.cancel)
        self.native.destroyed.connect(self._closed)
        self._layer_chosen()
        self._task_chosen()

    @property
    def running(self) -> bool:
        """Whether a restoration runs."""
        return self._running is not None

    def try_on_view(self) -> None:
        """Restore what is on the screen, as it will be in the whole result."""
        self._begin(part=True)

    def restore(self) -> None:
        """Restore all of the layer."""
        self._begin(part=False)

    def cancel(self) -> None:
        """End the restoration that runs."""
        if self._running is not None:
            self._running.cancel()

    def _begin(self, *, part: bool) -> None:
        layer = self.layer.value
        if self.running or layer is None:
            self.told.value = "" if self.running else "open an image first"
            return
        try:
            image = LayerImage.of(layer, self.axes.value)
            region = visible_region(self._viewer, layer, image, self.task.value) if part else None
            settings = self._settings()
        except UnifmirError as error:
            self._tell(str(error))
            return
        self._running = LayerRestoration(image, settings, region)
        title = f"{TASKS[settings.task].title}: {image.name}"
        self._bar = progress(total=0, desc=title)
        self._show_running()
        # It also tells napari's task manager, which asks before napari is closed.
        worker = create_worker(_NamedRun(self._running, title), _worker_class=RestorationWorker)
        worker.yielded.connect(self._progressed)
        worker.finished.connect(self._ended)
        worker.start()

    def _settings(self) -> RestoreSettings:
        own = self.file.value
        named = own is not None and str(own) not in ("", ".")
        return RestoreSettings(
            task=self.task.value,
            model=str(own) if named else self.model.value,
            z_factor=(self.z_factor.value or None) if self._wants_z_factor() else None,
            lens_pitch=(self.lens_pitch.value or None) if self._wants_lenses() else None,
        )

    def _closed(self, *_: Any) -> None:
        """End what runs: nobody is there to see it."""
        self.cancel()
        self._gone = True

    def _progressed(self, news: RestorationNews) -> None:
        if self._gone:
            return
        self.told.value = news.text
        if self._bar is not None and news.total:
            self._bar.total = news.total
            self._bar.n = news.done
            self._bar.refresh()
        self.bar.max = max(1, news.total)
        self.bar.value = news.done

    def _ended(self) -> None:
        ended, self._running = self._running, None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if ended is None or self._gone:
            return
        self._show_running()
        if ended.layer is not None:
            values, properties, _ = ended.layer
            self._viewer.add_image(values, **properties)
            self._tell(_told_at_the_end(properties["metadata"]["unifmir"]))
        elif ended.cancelled:
            self._tell("cancelled")
        else:
            self._tell(ended.failure or "the restoration ended without a result")

    def _show_running(self) -> None:
        self.try_button.enabled = self.restore_button.enabled = not self.running
        self.cancel_button.enabled = self.running
        self.bar.visible = self.running

    def _tell(self, text: str) -> None:
        self.told.value = text

    def _layer_chosen(self) -> None:
        layer = self.layer.value
        self.axes.value = "" if layer is None else guessed_axes(layer.axis_labels)

    def _task_chosen(self) -> None:
        self.model.choices = models_for(self.task.value)
        self.z_factor.visible = self._wants_z_factor()
        self.lens_pitch.visible = self._wants_lenses()

    def _wants_z_factor(self) -> bool:
        return TASKS[self.task.value].isotropic_sampling

    def _wants_lenses(self) -> bool:
        return any(INTERFACES[name].lenses for name in TASKS[self.task.value].interfaces)


def _told_at_the_end(report: dict[str, Any]) -> str:
    ran = report["ran"]
    where = f"{ran['model']}, {ran['runtime']} on {ran['device']}"
    return "\n".join([f"restored in {report['seconds']:.1f} s ({where})", *report["notes"]])


def models_for(task: str) -> list[tuple[str, str]]:
    """Models of a task, as words and ids: what is here first, and what a download brings."""
    rows = []
    for entry in entries().values():
        if task in entry.tasks:
            here = present_file(entry) is not None
            what = "small, for trying" if entry.id == EMBEDDED else entry.dataset
            words = f"{entry.id} ({what}{'' if here else '; is fetched'})"
            rows.append((not here, entry.id, words))
    return [(words, name) for _, name, words in sorted(rows)]
