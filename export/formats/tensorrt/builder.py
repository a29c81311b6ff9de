"""Building of an engine from an ONNX file."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unifmir.atomic import writing
from unifmir.errors import ExportError
from unifmir.export.formats.tensorrt.options import EngineOptions
from unifmir.export.lineage import IMAGE
from unifmir.export.runtimes.tensorrt.certificate import TypeCount, network_types
from unifmir.export.runtimes.tensorrt.library import Library, Log
from unifmir.export.runtimes.tensorrt.profiles import Profile


@dataclass(frozen=True, slots=True)
class Built:
    """A serialised engine, and what the parser made of the ONNX file."""

    engine: bytes
    types: TypeCount
    """Types in which the network's convolutions and products compute."""


def build(library: Library, model: bytes, profile: Profile, options: EngineOptions) -> Built:
    """Build an engine whose types are those of the ONNX file.

    Parameters
    ----------
    library : Library
    model : bytes
        A serialised ONNX model with one input; casts in it decide the precision.
    profile : Profile
    options : EngineOptions

    Raises
    ------
    ExportError
        The library does not take the model, or an option; the message has its own words.
    """
    api, log = library.api, Log(library.api)
    builder = api.Builder(log.handle)
    network = builder.create_network(_strongly_typed(api))
    parser = api.OnnxParser(network, log.handle)
    if not parser.parse(model):
        told = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise ExportError(
            f"{library.name} {library.version} cannot read the ONNX graph: {told or log.text}"
        )
    config = builder.create_builder_config()
    _configure(library, config, options)
    sizes = builder.create_optimization_profile()
    sizes.set_shape(IMAGE, *profile.shapes)
    if config.add_optimization_profile(sizes) < 0:
        raise ExportError(
            f"{library.name} {library.version} refuses the profile {profile.text}: {log.text}"
        )
    cache = _timing_cache(library, config, options)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(
            f"{library.name} {library.version} built no engine for {profile.text}: {log.text}. "
            "Where memory ran out, try a smaller --profile or --workspace"
        )
    if cache is not None and options.timing_cache is not None:
        with writing(options.timing_cache) as aside:
            aside.write_bytes(bytes(config.get_timing_cache().serialize()))
    return Built(bytes(engine), network_types(api, network))


def _strongly_typed(api: Any) -> int:
    """Flags of `create_network`: needed on 10.12, accepted and without effect from 11 on."""
    return 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _configure(library: Library, config: Any, options: EngineOptions) -> None:
    api = library.api
    # TF32 is on by default, and then "fp32" has 10 bits of mantissa where others have 23.
    config.clear_flag(api.BuilderFlag.TF32)
    # Without it the inspector names layers and keeps their types to itself.
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = options.builder_level
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if not options.targets:
        return
    if not library.rtx:
        raise ExportError(
            "tensorrt builds for the GPU of its own machine: leave --target away, or use "
            "tensorrt-rtx with --unverified-engine"
        )
    config.num_compute_capabilities = len(options.targets)
    for index, member in enumerate(_capabilities(api, options.targets)):
        if not config.set_compute_capability(member, index):
            raise ExportError(f"tensorrt-rtx does not build for {options.targets[index]}")


def _capabilities(api: Any, targets: tuple[str, ...]) -> Iterator[Any]:
    for target in targets:
        yield getattr(api.ComputeCapability, f"SM{target.replace('.', '')}")


def _timing_cache(library: Library, config: Any, options: EngineOptions) -> Any:
    """The cache of an earlier build, or a new one; None if none is wanted."""
    path = options.timing_cache
    if path is None:
        return None
    if library.rtx:
        raise ExportError(
            "tensorrt-rtx has no timing cache (its own is made where the engine runs): "
            "leave --timing-cache away"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cache = config.create_timing_cache(_content(path))
    # An entry of another GPU or version would be a wrong answer: mismatches are refused.
    if cache is None or not config.set_timing_cache(cache, False):
        raise ExportError(
            f"{path}: not a timing cache of {library.name} {library.version} on this GPU; "
            "delete it, or name another file"
        )
    config.set_flag(library.api.BuilderFlag.EDITABLE_TIMING_CACHE)
    return cache


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
