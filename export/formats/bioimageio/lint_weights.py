"""Lint of the weight files: what deepImageJ, ilastik and the zoo can load."""

import ast
import io
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from unifmir.errors import ExportError
from unifmir.export.runtimes.onnx_graph import FIJI_IR, FIJI_OPSET
from unifmir.export.runtimes.script_program import require_plain_program

_ALLOWED_IMPORTS = {"torch", "math", "collections", "itertools", "types", "typing"}
WEIGHT_FORMATS = ("pytorch_state_dict", "torchscript", "onnx")

Severity = Literal["error", "warning"]
Problem = tuple[Severity, str, str]
"""Severity, field or file, sentence."""


def problems(rdf: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Everything wrong with the weights of a package."""
    weights = rdf.get("weights") or {}
    for name in WEIGHT_FORMATS:
        if name not in weights:
            yield "warning", f"weights.{name}", "missing: some consumers read nothing else"
    roots = sorted(name for name, entry in weights.items() if "parent" not in entry)
    if roots != ["pytorch_state_dict"]:
        yield "error", "weights", f"pytorch_state_dict must be the one root, found {roots}"
    checks = {"pytorch_state_dict": _state_dict, "torchscript": _torchscript, "onnx": _onnx}
    for name, check in checks.items():
        entry = weights.get(name)
        if entry and entry.get("source") in files:
            yield from check(entry, files)


def _state_dict(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[Problem]:
    import torch

    name = entry["source"]
    try:
        state = torch.load(io.BytesIO(files[name]), "cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        yield "error", name, f"cannot be read with weights_only=True: {error}"
        return
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        yield "error", name, "must be a dictionary of tensors"
    architecture = entry.get("architecture") or {}
    if architecture.get("kwargs") is None:
        yield "error", "weights.pytorch_state_dict", "kwargs must be explicit: BiaPy reads them"
    if "dependencies" in entry:
        yield "warning", "weights.pytorch_state_dict", "dependencies keep BiaPy from loading it"
    source = files.get(architecture.get("source", ""))
    if source is None:
        yield "error", "weights.pytorch_state_dict", "the architecture must be a file"
        return
    if foreign := imported_packages(source.decode("utf-8")) - _ALLOWED_IMPORTS:
        yield "error", architecture["source"], f"imports {sorted(foreign)}: it must stand alone"


def imported_packages(source: str) -> set[str]:
    """Top-level names a source file imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else (node.module or "").partition(".")[0])
    return found


def _torchscript(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[Problem]:
    name = entry["source"]
    try:
        require_plain_program(name, files[name])
    except ExportError as error:
        yield "error", name, f"is scripted, damaged or does more than compute, trace it: {error}"


def _onnx(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[Problem]:
    import onnx

    name = entry["source"]
    try:
        model = onnx.load_model_from_string(files[name])
    except Exception as error:  # noqa: BLE001 - protobuf's DecodeError has no typed home
        yield "error", name, f"is not ONNX: {error}"
        return
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset != FIJI_OPSET or entry.get("opset_version") != opset:
        declared = entry.get("opset_version")
        yield "error", name, f"has opset {opset}, declared {declared}: use {FIJI_OPSET}"
    if model.ir_version > FIJI_IR:
        yield "error", name, f"has IR {model.ir_version}; Fiji reads up to {FIJI_IR}"
    external = onnx.TensorProto.EXTERNAL
    if "external_data" in entry or any(
        tensor.data_location == external for tensor in model.graph.initializer
    ):
        yield "error", name, "keeps weights in another file, which Fiji does not download"
    initializers = {tensor.name for tensor in model.graph.initializer}
    ends = [
        [value for value in values if value.name not in initializers]
        for values in (model.graph.input, model.graph.output)
    ]
    if [len(values) for values in ends] != [1, 1]:
        yield "error", name, "must have one input and one output, as the description"
    for value in (value for values in ends for value in values):
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            yield "error", name, f"{value.name} is not float32: consumers send nothing else"
