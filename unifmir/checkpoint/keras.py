"""Weights of CARE networks trained with csbdeep, read from Keras' HDF5 files.

csbdeep writes `weights_best.h5` in the older of Keras' layouts, with Keras 2 and with Keras 3:
attributes list the layers and their weights in the order of the network. A whole model saved by
Keras holds the same below `model_weights`. Nothing in a file is run: of a model's description,
JSON, only the kinds of its layers are looked at. The HDF5 library itself is not made for hostile
files: where single bytes were altered, it can crash or never end. Read files of people you know.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unifmir.config import Option, ReferenceConfig
from unifmir.errors import CheckpointError, MissingExtraError
from unifmir.hashing import sha256_of
from unifmir.model import Provenance, build
from unifmir.networks.base import Network
from unifmir.plain_text_values import parse_json, read_json
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

ORDINARY: dict[str, tuple[Any, ...]] = {
    "axes": ("YXC", "ZYXC", "TYXC"),
    "n_channel_in": (1,),
    "n_channel_out": (1,),
    "probabilistic": (False,),
    "unet_last_activation": ("linear",),
    "proj_axis": ("Z",),
    "proj_n_conv_per_depth": (1,),
    "proj_pool": ([1, 2, 2],),
}
"""Settings in csbdeep's config.json that unifmir's networks have, and their values there."""

_DEEPEST = 8
"""Levels. 2**8 pixels are more than a patch CARE is trained on, and bound the widths."""
_MOST = 2 * (4 * _DEEPEST + 3 + 2 * _DEEPEST + 2)
"""Kernels and biases of the deepest projection and U-Net."""
_WIDEST = 4096
"""Features of the first level, 128 times csbdeep's default."""
_LARGEST_JSON = 1 << 20
"""Bytes of a config.json, of which csbdeep's has about one thousand, or of a description."""
_LAYERS = {"DTypePolicy", "Functional", "Model", "InputLayer", "Conv2D", "Conv3D"} | {
    *("MaxPooling2D", "MaxPooling3D", "UpSampling2D", "UpSampling3D"),
    *("Concatenate", "Add", "Activation", "Dropout"),
}
"""Kinds of layers in the description of a whole model."""
_PROJECTING_LAYERS = {"Lambda", "Multiply"}
"""Kinds that a projection has besides; what its functions compute is csbdeep's, and not read."""
_READABLE = "unifmir reads csbdeep's CARE and ProjectionCARE with one channel in and out"


@dataclass(frozen=True, slots=True)
class _Convolution:
    """One layer, in the layout of Keras."""

    name: str
    kernel: NDArray[Any]
    """Spatial axes, then channels in, then channels out."""
    bias: NDArray[Any]

    @property
    def window(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.kernel.shape[:-2]


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of a file: its layers and their weights."""

    layers: tuple[str, ...]
    """Names of the outermost layers, in order."""
    convolutions: tuple[_Convolution, ...]
    description: str
    """JSON of a whole model; empty in a file of weights."""


def read_keras(path: Path, *, task: str | None = None) -> Network:
    """The network of a file written by csbdeep or Keras, with its weights, in eval mode.

    2-D, 3-D and projection networks are told apart by their kernels; depth, kernel and widths are
    read off the shapes. What the shapes do not tell is taken from csbdeep's `config.json` beside
    the file if there is one: whether a projection network adds its input (else it does).

    Parameters
    ----------
    path : Path
        `weights_best.h5`, or a model saved with Keras as .h5.
    task : str, optional
        One of the reference model's tasks; by default denoise, or projection for that network.

    Returns
    -------
    Network
        float32, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is damaged, holds another network, or weights that are not finite.
    MissingExtraError
        Without h5py.
    """
    path = Path(path)
    if task is not None:
        TASKS.require(task)
    try:
        content = _read(path)
        settings = _settings(path.with_name("config.json"))
        _check_ordinary(content, settings)
        config = _configuration(content, settings, task)
        network = _filled(config, content.convolutions)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    network.source = Provenance(path.name, sha256_of(path), path.stat().st_size, path)
    return network


def _read(path: Path) -> _Content:
    try:
        h5py = import_module("h5py")
    except ImportError as error:
        raise MissingExtraError(
            'reading Keras files needs h5py, which is not installed: pip install "unifmir[keras]"'
        ) from error
    if not path.is_file():
        raise CheckpointError("there is no such file; expected csbdeep's weights_best.h5")
    try:
        with h5py.File(path, "r") as file:
            return _content(file)
    # What h5py raises for damaged files, wherever the damage is; UnicodeError is a ValueError.
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"not a readable HDF5 file ({str(error)[:200]}): it is damaged, incomplete or "
            "something else; copy csbdeep's weights_best.h5 again"
        ) from error


def _content(file: Any) -> _Content:
    root = file.get("model_weights", file)
    layers = _names(root, "layer_names")
    if not layers:
        if "layers" in root or "_layer_checkpoint_dependencies" in root:
            raise CheckpointError(
                "it is in the layout of Keras 3's .weights.h5 files; expected the one csbdeep "
                "writes: save it again with keras_model.save_weights('weights_best.h5')"
            )
        raise CheckpointError(
            f"no Keras network in it, it lists no layers but holds {sorted(root)[:6]}; expected "
            "csbdeep's weights_best.h5"
        )
    entries = [
        (f"{layer}/{name}", root[layer][name])
        for layer in layers
        for name in _names(root[layer], "weight_names")
    ]
    convolutions = tuple(_convolutions(file, entries))
    return _Content(layers, convolutions, _text(file.attrs.get("model_config", "")))


def _names(group: Any, attribute: str) -> tuple[str, ...]:
    """A list of names, which Keras cuts into numbered attributes if it is long."""
    found = list(group.attrs.get(attribute, ()))
    for index in count():
        part = group.attrs.get(f"{attribute}{index}")
        if part is None:
            break
        found += list(part)
    return tuple(_text(name) for name in found)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _convolutions(file: Any, entries: list[tuple[str, Any]]) -> Iterator[_Convolution]:
    """The layers of a network that has nothing but convolutions with biases."""
    if len(entries) > _MOST:
        raise CheckpointError(f"{len(entries)} weights; expected {_MOST} at most; {_READABLE}")
    kinds = [name.rpartition("/")[2].partition(":")[0] for name, _ in entries]
    if strange := sorted(set(kinds) - {"kernel", "bias"}):
        batch_norm = " of batch normalisation" if {"gamma", "moving_mean"} & set(strange) else ""
        raise CheckpointError(
            f"weights{batch_norm} that CARE does not have: {', '.join(strange[:6])}; {_READABLE}"
        )
    if kinds != ["kernel", "bias"] * (len(kinds) // 2) or not kinds:
        raise CheckpointError(
            f"expected kernels and biases in turn, found {', '.join(kinds[:6]) or 'no weights'}; "
            f"{_READABLE}"
        )
    for (name, kernel), (_, bias) in zip(entries[::2], entries[1::2], strict=True):
        if len(kernel.shape) not in (4, 5) or kernel.shape[-1:] != bias.shape:
            raise CheckpointError(
                f"{name} has shape {kernel.shape} and its bias {bias.shape}: no 2-D or 3-D "
                f"convolution; {_READABLE}"
            )
        yield _Convolution(name, _array(file, name, kernel), _array(file, name, bias))


def _array(file: Any, name: str, dataset: Any) -> NDArray[Any]:
    """The values of a dataset that is wholly in the file, as finite float32."""
    if dataset.dtype.kind != "f":
        raise CheckpointError(f"{name} has type {dataset.dtype}; expected floating point")
    # A dataset that is declared but not written can be larger than any memory.
    stored = dataset.id.get_storage_size()
    elsewhere = dataset.is_virtual or dataset.external or dataset.file.filename != file.filename
    if elsewhere or stored < dataset.nbytes:
        raise CheckpointError(
            f"{name} declares {dataset.nbytes} bytes, but {stored} are stored, or lie elsewhere: "
            "the file is damaged, compressed, or made to exhaust memory; save it again with Keras"
        )
    # Beyond float32's range a value becomes infinite, which is refused in the next line.
    with np.errstate(over="ignore"):
        values: NDArray[Any] = np.asarray(dataset[()]).astype(np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(
            f"{name} holds NaN or infinity: training diverged or the file is damaged; take "
            "another checkpoint"
        )
    return values


def _settings(path: Path) -> dict[str, Any]:
    """Settings of csbdeep's config.json; empty if there is none, or some other program's."""
    if not path.is_file():
        return {}
    try:
        found = read_json(path, limit=_LARGEST_JSON)
    except (OSError, CheckpointError):
        return {}
    return found if isinstance(found, dict) and "unet_n_depth" in found else {}


def _layers_of(description: str) -> list[tuple[str, Any, bool]]:
    """Class and activation of each part of a whole model, and whether it is a layer."""
    try:
        pending = [parse_json(description, limit=_LARGEST_JSON)] if description else []
    except CheckpointError as error:
        raise CheckpointError(
            f"the model's description in it cannot be read ({error}): the file is damaged; copy "
            "it again"
        ) from error
    found = []
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            config = node.get("config")
            if isinstance(config, dict) and "class_name" in node:
                # Initialisers and the like have no name.
                kind = str(node["class_name"])
                found.append((kind, config.get("activation"), "name" in config))
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return found


def _check_ordinary(content: _Content, settings: dict[str, Any]) -> None:
    """Refuse what changes the result without changing the shapes of weights."""
    for key, allowed in ORDINARY.items():
        if key in settings and settings[key] not in allowed:
            raise CheckpointError(
                f"config.json beside it says {key} = {settings[key]!r}; expected "
                f"{' or '.join(map(repr, allowed))}; {_READABLE}"
            )
    known = _LAYERS
    if {len(layer.window) for layer in content.convolutions} == {2, 3}:
        known = _LAYERS | _PROJECTING_LAYERS
    for kind, activation, is_layer in _layers_of(content.description):
        if is_layer and kind not in known:
            raise CheckpointError(
                f"its description names a layer of kind {kind[:80]!r}; expected those of CARE "
                f"({', '.join(sorted(known))}); {_READABLE}"
            )
        if kind == "Activation" and activation != "linear":
            raise CheckpointError(
                f"its last activation is {activation!r}; expected 'linear'; {_READABLE}"
            )


def _configuration(
    content: _Content, settings: dict[str, Any], task: str | None
) -> ReferenceConfig:
    convolutions = content.convolutions
    volumetric = [layer for layer in convolutions if len(layer.window) == 3]
    flat = [layer for layer in convolutions if len(layer.window) == 2]
    options: dict[str, Option] = {"residual": _adds_input(content, settings)}
    if volumetric and flat:
        model = "care-projection"
        options |= {f"projection_{k}": v for k, v in _projector_options(volumetric).items()}
        options |= _unet_options(flat)
    else:
        model = "care" if volumetric else "care-2d"
        options |= _unet_options(convolutions)
    row = REFERENCES[model]
    if task is not None and task not in row.tasks:
        raise CheckpointError(
            f"it holds a network of {row.title}, which unifmir has for {' and '.join(row.tasks)}, "
            f"not for {task}; leave the task out"
        )
    # csbdeep trains on images that have the result's sampling.
    task = task or next(name for name in row.tasks if not TASKS[name].shape.magnifies)
    differing = ((key, value) for key, value in options.items() if value != row.options[key])
    return ReferenceConfig(model, task, tuple(sorted(differing)))


def _adds_input(content: _Content, settings: dict[str, Any]) -> bool:
    """Whether the network adds its input to the result, which needs no weights."""
    if len(content.layers) > 3:
        # The layers of a projection network are in two inner models, and so not in this list.
        return any(name.partition("_")[0] == "add" for name in content.layers)
    if content.description:
        return any(kind == "Add" for kind, *_ in _layers_of(content.description))
    return bool(settings.get("unet_residual", True))


def _unet_options(layers: list[_Convolution] | tuple[_Convolution, ...]) -> dict[str, Option]:
    """Depth, kernel and width: depth d has 2 d convolutions down, 2 in the middle, 2 d up, 1."""
    if len(layers) > 1 and layers[-1].kernel.shape == layers[-2].kernel.shape:
        raise CheckpointError(
            "it ends in two like convolutions, of a mean and a scale: a probabilistic network; "
            f"{_READABLE}"
        )
    first, last = layers[0].kernel.shape[-2], layers[-1].kernel.shape[-1]
    if (first, last) != (1, 1) and set(layers[-1].window) == {1}:
        raise CheckpointError(f"it has {first} channels in and {last} out; {_READABLE}")
    depth, rest = divmod(len(layers) - 3, 4)
    if rest:
        raise CheckpointError(
            f"{len(layers)} convolutions in a U-Net; expected 4 for each level and 3 more: 7, 11, "
            f"15, ...; {_READABLE}"
        )
    return _checked_options(layers[0], depth)


def _projector_options(layers: list[_Convolution]) -> dict[str, Option]:
    """Depth, kernel and width: depth d has d convolutions down, 1 in the middle, d up, 1."""
    depth, rest = divmod(len(layers) - 2, 2)
    if rest:
        raise CheckpointError(
            f"{len(layers)} convolutions in the projection; expected 2 for each level and 2 more; "
            f"{_READABLE}"
        )
    return _checked_options(layers[0], depth)


def _checked_options(first: _Convolution, depth: int) -> dict[str, Option]:
    kernel, features = first.window[0], first.kernel.shape[-1]
    if not 1 <= depth <= _DEEPEST:
        raise CheckpointError(f"{depth} levels; expected 1 to {_DEEPEST}; {_READABLE}")
    if set(first.window) != {kernel} or kernel % 2 == 0:
        raise CheckpointError(
            f"{first.name} has a kernel of {first.window} pixels; expected the same odd number "
            f"along each axis; {_READABLE}"
        )
    if not 1 <= features <= _WIDEST:
        raise CheckpointError(f"{features} features; expected 1 to {_WIDEST}; {_READABLE}")
    return {"depth": depth, "kernel": kernel, "features": features}


def _filled(config: ReferenceConfig, convolutions: tuple[_Convolution, ...]) -> Network:
    """The network with these weights. Its own layers are registered in the order of csbdeep's."""
    arrays = [array for layer in convolutions for array in (_transposed(layer.kernel), layer.bias)]
    names = [layer.name for layer in convolutions for _ in range(2)]
    # Shapes first: a network on the meta device costs nothing, whatever the file claims.
    with torch.device("meta"):
        expected = {key: tuple(t.shape) for key, t in build(config).state_dict().items()}
    if len(expected) != len(arrays):
        raise CheckpointError(
            f"{len(arrays)} weights; {config.model} with {dict(config.options)} has {len(expected)}"
        )
    for name, array, (key, shape) in zip(names, arrays, expected.items(), strict=True):
        if array.shape != shape:
            raise CheckpointError(
                f"{name} has shape {array.shape} (channels out, channels in, spatial axes); "
                f"expected {shape}, as {key} of {config.model} with {dict(config.options)}; "
                f"{_READABLE}"
            )
    network = build(config)
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    network.load_state_dict(dict(zip(expected, tensors, strict=True)))
    return network


def _transposed(kernel: NDArray[Any]) -> NDArray[Any]:
    """(z, y, x, in, out) -> (out, in, z, y, x), or without z."""
    spatial = range(kernel.ndim - 2)
    return kernel.transpose(kernel.ndim - 1, kernel.ndim - 2, *spatial)
