"""A stand-in for the `tensorrt` module: its engines are ONNX files that ONNX Runtime runs.

It has what this project calls, behaves as the documentation of each version says, and remembers
what it was told.
"""

import ctypes
import json
from collections.abc import Sequence
from enum import IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_DTYPES = {onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF"}
_FORMATS = {"FLOAT": "Float", "HALF": "Row major linear FP16 format"}


class LayerType(IntEnum):
    """Those that multiply, and one that does not."""

    CONVOLUTION = 1
    MATRIX_MULTIPLY = 2
    ACTIVATION = 3


class CpuMemory:
    """The engine's memory, in this process."""

    stream = 7

    def there(self, image: np.ndarray) -> torch.Tensor:
        """A copy."""
        return torch.from_numpy(image.copy())

    def empty(self, shape: Sequence[int]) -> torch.Tensor:
        """Filled with NaN, so that what is not written is seen."""
        return torch.full(tuple(shape), float("nan"))

    def finish(self) -> None:
        """It is done already."""


def product_types(model: onnx.ModelProto) -> list[str]:
    """Element types that the convolutions and products of a graph read."""
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    known |= {v.name: v.type.tensor_type.elem_type for v in inferred.graph.input}
    known |= {t.name: t.data_type for t in inferred.graph.initializer}
    wanted = (node for node in inferred.graph.node if node.op_type in PRODUCTS)
    return [_DTYPES[known[node.input[0]]] for node in wanted]


def module(version: str = "10.13.3.9", **faults: Any) -> Any:
    """A fake module.

    Parameters
    ----------
    version : str
    **faults
        `parse_error`, `no_engine`, `no_load`, `bad_cache`: what goes wrong. `inspector`: function
        from the layers' types to what the inspector lists. `gain`: factor on every output.
    """
    major = int(version.partition(".")[0])
    flags = ["TF32", "EDITABLE_TIMING_CACHE"] + (["FP16", "BF16", "INT8"] if major < 11 else [])
    api: Any = ModuleType("tensorrt")
    # PyTorch asks every module of this name for its origin.
    api.__spec__ = ModuleSpec("tensorrt", None)
    parts = SimpleNamespace(
        __version__=version,
        told=SimpleNamespace(networks=[], configs=[], profiles=[]),
        faults=faults,
        ILogger=type("ILogger", (), {"ERROR": 1, "INTERNAL_ERROR": 0, "WARNING": 2}),
        LayerType=LayerType,
        BuilderFlag=IntEnum("BuilderFlag", {name: i for i, name in enumerate(flags)}),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        ProfilingVerbosity=SimpleNamespace(DETAILED="detailed"),
        MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
        LayerInformationFormat=SimpleNamespace(JSON="json"),
    )
    vars(api).update(vars(parts))
    api.Builder = lambda log: _Builder(api, log)
    api.OnnxParser = lambda network, _: _Parser(api, network)
    api.Runtime = lambda log: _Runtime(api, log)
    return api


class _Builder:
    def __init__(self, api: Any, log: Any) -> None:
        self.api, self.log = api, log

    def create_network(self, flags: int) -> Any:
        # Without it 10.x would choose fp32 and take FP16 as a hint.
        assert flags == 2, "networks must be strongly typed"
        network = _Network(flags)
        self.api.told.networks.append(network)
        return network

    def create_builder_config(self) -> Any:
        config = _Config(self.api)
        self.api.told.configs.append(config)
        return config

    def create_optimization_profile(self) -> Any:
        told = self.api.told.profiles
        return SimpleNamespace(set_shape=lambda *shapes: told.append(shapes))

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if "no_engine" in self.api.faults:
            self.log.log(self.api.ILogger.ERROR, self.api.faults["no_engine"])
            return None
        content: bytes = network.model.SerializeToString()
        return content


class _Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.model = onnx.ModelProto()

    @property
    def num_layers(self) -> int:
        return len(product_types(self.model)) + 1

    def get_layer(self, index: int) -> Any:
        types = product_types(self.model)
        kind = LayerType.CONVOLUTION if index < len(types) else LayerType.ACTIVATION
        name = [*types, "FLOAT"][index]
        return SimpleNamespace(
            type=kind, get_input=lambda _: SimpleNamespace(dtype=SimpleNamespace(name=name))
        )


class _Config:
    def __init__(self, api: Any) -> None:
        self.api = api
        self.flags = {api.BuilderFlag.TF32}
        self.pools: dict[str, int] = {}
        self.profiling_verbosity = ""
        self.builder_optimization_level = -1
        self.cache: Any = None

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.pools[pool] = size

    def add_optimization_profile(self, profile: Any) -> int:
        return -1 if "bad_profile" in self.api.faults else 0

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(serialize=lambda: content + b"+timing")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return "bad_cache" not in self.api.faults

    def get_timing_cache(self) -> Any:
        return self.cache


class _Parser:
    def __init__(self, api: Any, network: _Network) -> None:
        self.api, self.network = api, network
        self.num_errors = 1

    def parse(self, model: bytes) -> bool:
        self.network.model = onnx.load_from_string(model)
        return "parse_error" not in self.api.faults

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self.api.faults["parse_error"])


class _Runtime:
    def __init__(self, api: Any, log: Any) -> None:
        self.api, self.log = api, log

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        if "no_load" in self.api.faults:
            self.log.log(self.api.ILogger.ERROR, self.api.faults["no_load"])
            return None
        return _Engine(self.api, content)


class _Engine:
    def __init__(self, api: Any, content: bytes) -> None:
        self.api, self.content = api, content

    def create_execution_context(self) -> Any:
        return _Context(self.api, self.content)

    def create_engine_inspector(self) -> Any:
        types = product_types(onnx.load_from_string(self.content))
        listed = self.api.faults.get("inspector", lambda kinds: kinds)(types)
        layers = [layer(_FORMATS[kind]) for kind in listed]
        return SimpleNamespace(
            get_engine_information=lambda _: json.dumps({"Layers": layers, "Bindings": []})
        )


class _Context:
    def __init__(self, api: Any, content: bytes) -> None:
        self.gain = api.faults.get("gain", 1.0)
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "image"
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "restored"
        said = self.session.get_modelmeta().custom_metadata_map
        *start, height, width = self.shape
        return (*start, height * int(said["scale"]), width * int(said["scale"]))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == CpuMemory.stream
        image = _at(self.addresses["image"], self.shape)
        restored = self.session.run(None, {"image": image.copy()})[0]
        _at(self.addresses["restored"], restored.shape)[...] = self.gain * restored
        return True


def layer(form: str, kind: str = "CaskConvolution", **more: str) -> dict[str, Any]:
    """A layer as the inspector lists one."""
    tensor = {"Name": "x", "Location": "Device", "Format/Datatype": form}
    return {"Name": "/conv", "LayerType": kind, "Inputs": [tensor], "Outputs": [tensor], **more}


def _at(address: int, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, (count,)).reshape(shape)
