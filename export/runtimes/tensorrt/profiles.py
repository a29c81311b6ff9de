"""The sizes an engine takes: smallest, the one it is tuned for, and largest."""

from dataclasses import dataclass

from unifmir.config import SingleConfig
from unifmir.errors import ExportError
from unifmir.export.case_sizes import verified_shapes
from unifmir.export.lineage import Lineage
from unifmir.interfaces import FIXED, InputKind, interface_of, shape_of
from unifmir.json_values import JsonValues

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile(JsonValues):
    """Shapes of the one input, batch first; TensorRT's names."""

    min: Shape
    opt: Shape
    """The shape kernels are chosen for."""
    max: Shape

    @property
    def text(self) -> str:
        """The profile as `--profile` takes it: `1x1x8x8,1x1x128x128,4x1x256x256`."""
        return ",".join("x".join(map(str, shape)) for shape in self.shapes)

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Smallest, tuned, largest."""
        return self.min, self.opt, self.max

    def takes(self, shape: Shape) -> bool:
        """Whether an input of that shape can be run."""
        return len(shape) == len(self.min) and all(
            low <= n <= high for low, n, high in zip(self.min, shape, self.max, strict=True)
        )


def default_profile(config: SingleConfig, interface: InputKind) -> Profile:
    """The sizes that an engine is for if none are asked for.

    They include every size the other formats are verified at, and differ by interface.
    """
    sizes = interface_of(config).engine_sizes[interface != "network"]
    shapes = [
        shape_of(config, interface, batch=b, size=(d, n, n))
        for b, d, n in zip(sizes.batch, sizes.depth, sizes.lateral, strict=True)
    ]
    return Profile(*shapes)


def read_profile(text: str, lineage: Lineage) -> Profile:
    """A profile as a user writes it: three shapes of the whole input, `MIN,OPT,MAX`.

    Raises
    ------
    ExportError
        Not three shapes, not in order, or not what the artifact takes.
    """
    try:
        shapes = [tuple(int(n) for n in part.split("x")) for part in text.split(",")]
    except ValueError:
        shapes = []
    example = " x ".join(lineage.input_axes)
    if len(shapes) != 3:
        raise ExportError(
            f"profile {text!r}: expected three shapes MIN,OPT,MAX of {example}, "
            "such as 1x1x8x8,1x1x128x128,4x1x256x256"
        )
    profile = Profile(*shapes)
    for shape in shapes:
        _check_axes(shape, lineage, text)
    if not (profile.takes(profile.opt) and profile.takes(profile.max)):
        raise ExportError(f"profile {text!r}: expected MIN <= OPT <= MAX along every axis")
    return profile


def _check_axes(shape: Shape, lineage: Lineage, text: str) -> None:
    if len(shape) != len(lineage.input_axes):
        raise ExportError(
            f"profile {text!r}: {len(shape)} axes, expected {' x '.join(lineage.input_axes)}"
        )
    rule = lineage.size_rule
    for size, axis in zip(shape, lineage.input_axes, strict=True):
        name, _, fixed = axis.partition(FIXED)
        if fixed and size != int(fixed):
            raise ExportError(f"profile {text!r}: {name} is {size}, it is always {fixed}")
        lateral = name in ("height", "width")
        step = rule["multiple_of"] if lateral else 1
        if size < (rule["minimum"] if lateral else 1) or size % step:
            raise ExportError(
                f"profile {text!r}: {name} {size}, expected a multiple of {step} from "
                f"{max(step, 1)} on"
            )


def shapes_within(
    config: SingleConfig, interface: InputKind, profile: Profile
) -> tuple[Shape, ...]:
    """Shapes that an engine is verified at.

    The sizes of all formats, moved into the profile, and the one its kernels were chosen for.
    """
    moved = [
        tuple(
            min(max(n, low), high)
            for low, n, high in zip(profile.min, shape, profile.max, strict=True)
        )
        for shape in verified_shapes(config, interface)
    ]
    return tuple(dict.fromkeys([*moved, profile.opt]))
