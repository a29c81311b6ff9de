"""Small artifacts of each format, taken apart, changed, and put together again."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import torch
from onnx import numpy_helper
from safetensors import safe_open

import unifmir
from tests.golden.weights import filled
from tests.helpers.restoration_cases import small
from unifmir.checkpoint.saving import save
from unifmir.export.formats import FORMATS
from unifmir.export.runtimes.openvino import LINEAGE, WEIGHTS, import_openvino, read_model
from unifmir.export.runtimes.openvino_graph import GRAPH
from unifmir.zip_archive import write_stored_zip

FORMS = ("safetensors", "onnx", "torchscript", "openvino")
PARENT = "unifmir-sr.safetensors"
OTHER = "another.safetensors"

Strings = dict[str, str]
Tensors = dict[str, torch.Tensor]


@cache
def templates() -> dict[str, bytes]:
    """A file of each format with its parent, and another network of the same shape."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = small("sr")
        save(network, folder / "source.safetensors")
        source = unifmir.load(folder / "source.safetensors")
        made = unifmir.export(source, folder, formats=FORMS[1:])
        found = {artifact.format: artifact.path.read_bytes() for artifact in made}
        narrow = unifmir.export(source, folder / "fp16", formats=FORMS[:1], precision="fp16")
        found["safetensors"] = narrow[0].path.read_bytes()
        found[PARENT] = (folder / PARENT).read_bytes()
        network.load_state_dict(filled(network.state_dict(), seed=9))
        save(network, folder / OTHER)
        found[OTHER] = (folder / OTHER).read_bytes()
    return found


def name_of(form: str) -> str:
    precision = ".fp16" if form == "safetensors" else ""
    return f"unifmir-sr{precision}{FORMATS[form].suffix}"


def metadata(form: str, content: bytes) -> Strings:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name_of(form))
        path.write_bytes(content)
        return FORMATS[form].lineage(path).to_strings()


def relabelled(form: str, content: bytes, strings: Strings) -> bytes:
    """The file with other metadata."""
    if form == "safetensors":
        return packed(tensors_of(content), strings)
    if form == "onnx":
        model = onnx.load_model_from_string(content)
        onnx.helper.set_model_props(model, strings)
        return bytes(model.SerializeToString())
    if form == "openvino":
        return openvino_archive(openvino_model(content), strings)
    files = unzipped(content)
    (record,) = (name for name in files if name.endswith("unifmir.json"))
    return zipped({**files, record: json.dumps(strings).encode()})


def tensors_of(content: bytes) -> Tensors:
    loaded: Tensors = safetensors.torch.load(content)
    return loaded


def packed(tensors: Tensors, strings: Strings | None = None, like: bytes = b"") -> bytes:
    if strings is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "like.safetensors")
            path.write_bytes(like)
            with safe_open(path, "pt") as file:
                strings = file.metadata()
    written: bytes = safetensors.torch.save(tensors, strings)
    return written


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    write_stored_zip(files, file)
    return file.getvalue()


def openvino_model(content: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name_of("openvino"))
        path.write_bytes(content)
        return read_model(path)


def openvino_archive(model: Any, strings: Strings) -> bytes:
    for key, value in strings.items():
        model.set_rt_info(value, [LINEAGE, key])
    with tempfile.TemporaryDirectory() as folder:
        import_openvino().save_model(model, Path(folder, GRAPH), compress_to_fp16=False)
        return zipped({name: Path(folder, name).read_bytes() for name in (GRAPH, WEIGHTS)})


def scaled(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values * values.dtype.type(by)


def one_bit(values: np.ndarray) -> np.ndarray:
    """The lowest bit of the exponent of one number: it is doubled, or halved."""
    kind, mantissa = {2: ("uint16", 10), 4: ("uint32", 23)}[values.itemsize]
    bits: np.ndarray = values.copy().view(kind)
    bits.flat[bits.size // 3] ^= bits.dtype.type(1 << mantissa)
    altered: np.ndarray = bits.view(values.dtype)
    return altered


def noisy(values: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(values.shape) * 0.01 * values.std()
    altered: np.ndarray = (values + noise).astype(values.dtype)
    return altered


def one_lost(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flat[values.size // 2] = np.nan
    return values


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "1 % larger": scaled(1.01),
    "half": scaled(0.5),
    "negative": scaled(-1.0),
    "zero": scaled(0.0),
    "of another sign in a bit of the exponent": one_bit,
    "noisy": noisy,
    "not a number": one_lost,
    "in reverse": lambda values: np.ascontiguousarray(values.ravel()[::-1].reshape(values.shape)),
    "all the same": lambda values: np.full_like(values, values.mean()),
}


def altered(form: str, content: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """The file with the weights of its first convolution and largest matrix changed."""
    if form == "safetensors":
        tensors = tensors_of(content)
        key = max(tensors, key=lambda k: tensors[k].is_floating_point() * tensors[k].numel())
        tensors[key] = torch.from_numpy(change(tensors[key].numpy()))
        return packed(tensors, like=content)
    if form == "onnx":
        model = onnx.load_model_from_string(content)
        tensor = max(
            (t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT),
            key=lambda t: len(t.raw_data),
        )
        values = change(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return bytes(model.SerializeToString())
    files = unzipped(content)
    weights = file_of_weights(form, files)
    values = np.frombuffer(files[weights], np.float32)
    if form == "openvino":  # one blob: the longest constant of it
        start, size = longest_constant(files[GRAPH])
        changed = bytearray(files[weights])
        changed[start : start + size] = change(values[start // 4 : (start + size) // 4]).tobytes()
        return zipped({**files, weights: bytes(changed)})
    return zipped({**files, weights: change(values).tobytes()})


def file_of_weights(form: str, files: dict[str, bytes]) -> str:
    if form == "openvino":
        return WEIGHTS
    indices = 8 * 8**4  # bytes of a window's index, which no weight has
    names = [name for name in files if "/data/" in name and len(files[name]) != indices]
    return max(names, key=lambda name: len(files[name]))


def longest_constant(graph: bytes) -> tuple[int, int]:
    from xml.etree import ElementTree as ET

    found = [
        (int(data.get("size", 0)), int(data.get("offset", 0)))
        for data in ET.fromstring(graph).iter("data")
        if data.get("element_type") == "f32"
    ]
    size, offset = max(found)
    return offset, size
