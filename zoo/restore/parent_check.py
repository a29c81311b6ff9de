"""Tiles of a graph from elsewhere, held against its PyTorch parent while an image is restored."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from unifmir.checkpoint.loading import load_as, load_file
from unifmir.compare import FP32, RealImage, Tolerance, tolerance_of
from unifmir.devices import device_named
from unifmir.errors import ExportError
from unifmir.export.case_comparison import compared, exact_beside
from unifmir.export.cases import Case
from unifmir.export.expected_outputs import Expected, expected_output
from unifmir.export.formats.bioimageio.proof import same_tensor
from unifmir.export.lineage import Lineage
from unifmir.export.verification import find_parent
from unifmir.interfaces import interface_of
from unifmir.model import in_interface
from unifmir.normalize import FloatImage
from unifmir.restoration.base import Predictor

logger = logging.getLogger(__name__)

LEAST_CONTRAST = 0.02
"""Standard deviation of a restored tile, in units of the normalised image. With less there is so
little to see that rounding is a large part of it: then the next tile of that size is taken too."""
MOST_FLAT = 3
"""Tiles of little contrast that are looked at for a size."""
MOST_SIZES = 16
"""Sizes that are looked at. A restoration has fewer: what the overlap is measured on, and tiles
within the image and at its ends."""


class ParentCheck:
    """Runs a graph, and its parent too on the first tile of each size.

    Parameters
    ----------
    predictor : Predictor
        Of the graph.
    path : Path
        Its file.
    parent : Path
        That the file names by its hash.
    lineage : Lineage
        Of the file.

    Raises
    ------
    ExportError
        The parent is of another network than the file says.
    """

    def __init__(self, predictor: Predictor, path: Path, parent: Path, lineage: Lineage) -> None:
        network = load_file(parent, task=lineage.task)
        if network.config != lineage.network_config:
            raise ExportError(
                f"{path.name}: its metadata say {lineage.network_config}, its parent {parent.name} "
                f"is {network.config}; export the parent again, and use that file"
            )
        self._predictor, self._path, self._parent, self._lineage = predictor, path, parent, lineage
        device = device_named(predictor.device)
        # Of devices that PyTorch does not know, on the CPU.
        place = "cpu" if device.kind.torch_type is None else device.torch_name
        self._module = in_interface(network, lineage.interface).to(place)
        self._looks: Counter[tuple[int, ...]] = Counter()

    def run(self, image: FloatImage) -> FloatImage:
        """Restore a tile, float32 in the shape that the graph takes; as `Predictor.run`.

        Raises
        ------
        ExportError
            It is not the same picture as the parent's.
        """
        restored = self._predictor.run(image)
        size = image.shape[1:]
        known = self._looks.get(size, 0)
        if known < MOST_FLAT and (known or len(self._looks) < MOST_SIZES):
            self._looks[size] += 1 if self._look(image, restored) else MOST_FLAT
        return restored

    def _look(self, image: FloatImage, restored: FloatImage) -> bool:
        """Whether the tile has so little contrast that another one should be looked at."""
        expected = expected_output(self._module, Case("real", image, "tile"))
        tolerance = tolerance_of(self._lineage.precision)
        try:
            return self._compare(expected, restored, tolerance)
        except ExportError:
            if tolerance is not FP32:
                raise
            # The parent in fp32 rounds too: in light fields by more than a file may differ.
            exact, bars = exact_beside(self._module, expected)
            return self._compare(exact, restored, bars)

    def _compare(self, expected: Expected, restored: FloatImage, tolerance: Tolerance) -> bool:
        """Hold a tile against its parent; whether it has little contrast.

        It is held against its parent twice: as the networks give it, and within what is kept of
        that. A picture whose values are mostly limited to 0 or 1 has less contrast than what was
        limited, and a difference is seen against that.
        """
        flat = self._judge(expected, restored, tolerance)
        if (limits := _limits(self._lineage)) is None:
            return flat
        kept = replace(expected, output=expected.output.clip(*limits))
        # What differs beyond the limits counts too: the mean over samplings is limited, not each.
        moved = kept.output + (restored - expected.output)
        return self._judge(kept, moved, tolerance) or flat

    def _judge(self, expected: Expected, restored: RealImage, tolerance: Tolerance) -> bool:
        """Refuse what is not the same picture; whether the expected one has little contrast."""
        result = compared(expected, restored, tolerance)
        # Light fields come whole, in raw intensities.
        whole = interface_of(self._lineage.network_config).lenses
        flat = not whole and float(expected.output.std()) < LEAST_CONTRAST
        apart = float(abs(expected.output - restored).max())
        failed = not apart <= LEAST_CONTRAST if flat else bool(result.failures)
        if failed:
            shape = expected.case.image.shape
            told = "; ".join(result.failures) or f"largest difference {apart:.3g}"
            raise ExportError(
                f"{self._path.name}: for a tile of {'x'.join(map(str, shape))} it gives "
                f"another picture than its parent {self._parent.name} ({told}), so nothing is "
                f"restored with it. Restore with the parent (--model {self._parent}), or export "
                "that again"
            )
        return flat


def _limits(lineage: Lineage) -> tuple[float, float] | None:
    """Smallest and largest output of a file that are kept in a result; None: all are."""
    config = lineage.network_config
    if lineage.interface == "raw":
        return None
    if lineage.interface == "network" and interface_of(config).lenses:
        return -1.0, 1.0
    return (0.0, 1.0) if config.normalization.clip else None


def with_parent_check(predictor: Predictor, path: Path, lineage: Lineage) -> Predictor:
    """A predictor that holds its first tiles against the parent, where that lies beside its file.

    Raises
    ------
    ExportError
        As `ParentCheck`.
    """
    if (parent := _found(path, lineage)) is None:
        return predictor
    return replace(predictor, run=ParentCheck(predictor, path, parent, lineage).run)


def require_parents_weights(path: Path, lineage: Lineage) -> None:
    """Refuse a file that is read for its weights where its parent lies beside it and has others.

    Raises
    ------
    ExportError
        It names the first tensor that differs.
    """
    if (parent := _found(path, lineage)) is None:
        return
    given = load_as(path, lineage.network_config).state_dict()
    expected = load_file(parent, task=lineage.task).state_dict()
    for key, value in given.items():
        if key not in expected or not same_tensor(value, expected[key], lineage.precision):
            raise ExportError(
                f"{path.name}: its {key} is not that of its parent {parent.name} in "
                f"{lineage.precision}, so nothing is restored with it. Restore with the parent "
                f"(--model {parent}), or export that again"
            )


def _found(path: Path, lineage: Lineage) -> Path | None:
    """The parent beside a file; a warning where there is none."""
    parent = find_parent(path, lineage)
    if parent is None:
        logger.warning(
            "%s was not written here, and its parent %s does not lie beside it: whether it "
            "restores as that does is not checked",
            path.name,
            lineage.parent["name"],
        )
    return parent
