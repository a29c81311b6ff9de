"""Predictors: a model by its name or file, loaded into the runtime that fits."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifmir.checkpoint.pruning import task_network, without_middle_group
from unifmir.checkpoint.serialization import tensors_sha256
from unifmir.compare import RealImage, tolerance_of
from unifmir.config import SingleConfig
from unifmir.devices import AUTO, CPU, Device, chosen_device, device_named
from unifmir.errors import BenchmarkError, ExportError, UnifmirError
from unifmir.export.base import Exporter
from unifmir.export.device_proof import DeviceProof, PlacedRun
from unifmir.export.formats import FORMATS, format_of
from unifmir.export.lineage import Lineage
from unifmir.export.opening import open_session
from unifmir.export.recorded_report import read_report
from unifmir.export.runtimes import RUNTIMES
from unifmir.export.runtimes.base import Image, Runtime, Session
from unifmir.export.runtimes.out_of_memory import with_memory_errors
from unifmir.export.verification import runs_foreign_graph, serves_as_weights
from unifmir.hashing import sha256_of
from unifmir.interfaces import InputKind, interface_of
from unifmir.networks.base import Network
from unifmir.precision.element_types import ELEMENT_TYPES, Precision
from unifmir.restoration.base import Placement, Predictor
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue.load import load_trained
from unifmir.zoo.restore.model_choice import ModelChoice, known_task
from unifmir.zoo.restore.runtime_choice import open_model, threads_of

if TYPE_CHECKING:
    from torch import nn


logger = logging.getLogger(__name__)


def predictor_for(choice: ModelChoice, network: Network | None = None) -> Predictor:
    """Load a model into a runtime.

    Parameters
    ----------
    choice : ModelChoice
    network : Network, optional
        A network that is loaded already, in place of `choice.model`. It is not changed.

    Returns
    -------
    Predictor
        With `ran` as the runtime says it, and `runtime`, `model`, `weights` (SHA-256 of the
        weights or of the file), `task`, `precision`, `fast` and `fallbacks`.

    Raises
    ------
    CheckpointError
        The model has several tasks and none is named, or has not the one named.
    ZooError
        The model cannot be had, or is a reference model whose weights are untrained.
    ExportError
        The precision is not the same picture, or a file cannot be loaded.
    BenchmarkError
        The device is not there, or the runtime cannot run this.
    MissingExtraError
        The runtime that was asked for is not installed.
    """
    device = chosen_device(choice.device)
    if choice.precision not in ELEMENT_TYPES:
        raise UnifmirError(
            f"unknown precision {choice.precision!r}: expected {', '.join(ELEMENT_TYPES)}"
        )
    path = None if network is not None else exported_path(choice.model)
    if path is not None and _is_program_of_others(path):
        logger.warning(
            "%s is a program that was not written here: it is not run, its weights are, in "
            "unifmir's own network. To run it: unifmir trust %s",
            path.name,
            path,
        )
        from unifmir.zoo.restore.parent_check import require_parents_weights

        require_parents_weights(path, FORMATS[format_of(path)].lineage(path))
        path = None

    def loaded(where: Device) -> Predictor:
        if path is not None:
            return _of_file(choice, path, where)
        return _of_network(choice, network or _loaded(choice), where)

    try:
        predictor = loaded(device)
    except (BenchmarkError, ExportError) as error:
        if choice.device != AUTO or device.is_cpu:
            raise
        logger.warning("%s is not used, but the CPU: %s", device.name, error)
        predictor = loaded(Device(CPU))
    _tell_fallbacks(choice, predictor)
    return predictor


def _is_program_of_others(path: Path) -> bool:
    exporter = FORMATS[format_of(path)]
    # Hashing takes 3 s for a gigabyte: only where it decides.
    return exporter.holds_weights and serves_as_weights(exporter, sha256_of(path))


def exported_path(model: str | Path | None) -> Path | None:
    """The file, if a model is given as one of `unifmir export` that is no checkpoint."""
    if model is None or not Path(model).is_file():
        return None
    path = Path(model)
    try:
        name = format_of(path)
    except ExportError:
        return None
    if name == "safetensors" or not FORMATS[name].made(path):
        return None
    return path


def task_of(choice: ModelChoice) -> str:
    """The task that a choice is for.

    Raises
    ------
    UnifmirError
        The model has several, and none is named.
    """
    known = known_task(choice)
    if known is not None:
        return known
    path = exported_path(choice.model)
    if path is not None:
        return FORMATS[format_of(path)].lineage(path).task
    network = _loaded(choice)
    if network.kind == "multitask":
        raise _several(network)
    return network.task


def _several(network: Network) -> UnifmirError:
    name = network.source.name if network.source else "this network"
    return UnifmirError(f"{name} has several tasks: name the one you want (--task sr)")


def _loaded(choice: ModelChoice) -> Network:
    if choice.model is None:
        known_task(choice)  # an error where none is named
        logger.info("no model was named: %s is taken", EMBEDDED)
    model = choice.model if choice.model is not None else EMBEDDED
    return load_trained(model, task=choice.task, weights=choice.weights, untrained=choice.untrained)


def _of_network(choice: ModelChoice, network: Network, device: Device) -> Predictor:
    single = _single(choice, network)
    single.cpu()  # where its pictures are what devices are held against
    source = network.source
    name = (source.zoo_id or source.name) if source else "a network in memory"
    weights = tensors_sha256(single.state_dict())
    if choice.fast:
        single = without_middle_group(single)
    precision = Precision(choice.precision, choice.precision)

    def source_of(row: Runtime) -> "nn.Module | Path":
        # A runtime with arithmetic of its own proves that itself.
        if row.own_arithmetic or choice.precision == "fp32":
            return single
        return _in_precision(single, choice.precision)

    def on_cpu() -> Callable[[Image], RealImage]:
        return _run_in_fp64(single)

    proof = DeviceProof(
        f"{weights} {choice.precision}{' fast' if choice.fast else ''}",
        single.config,
        "network",
        tolerance_of(choice.precision),
        on_cpu,
    )
    runtime, session = open_model(choice, source_of, device.name, precision, proof=proof)
    predictor = _predictor(
        session,
        single.config,
        "network",
        runtime=runtime,
        model=name,
        weights=weights,
        precision=choice.precision,
        fast=choice.fast,
    )
    lenses = interface_of(single.config).lenses
    there = device_named(predictor.device)
    if not (runtime.places_tiles and there.kind.float64 and lenses and choice.precision == "fp32"):
        return predictor
    run_placed = _placed(single, runtime, there)

    def placed_on_cpu() -> Callable[[Image, Placement], RealImage]:
        from unifmir.restoration.placed_network import PlacedNetwork

        exact = _run_in_fp64(PlacedNetwork(single))
        return lambda views, place: exact(views, place.start, place.whole)

    proof.require_placed(runtime, there, run_placed, placed_on_cpu)
    return replace(predictor, run_placed=run_placed)


def _run_in_fp64(module: "nn.Module") -> Callable[..., RealImage]:
    """Function that runs a copy of a module on the CPU in fp64 and gives float64.

    In fp32 the CPU may be further from that than a device is allowed to be from the CPU.
    """
    import torch

    from unifmir.model import in_fp64

    exact = in_fp64(module)

    def run(image: Image, *place: tuple[int, int]) -> RealImage:
        with torch.inference_mode():
            restored: RealImage = exact(torch.from_numpy(image).double(), *place).numpy()
        return restored

    return run


def _placed(network: Network, runtime: Runtime, device: Device) -> PlacedRun:
    """The network on tiles of a light field; the session moved it to the device."""
    import torch

    from unifmir.restoration.placed_network import PlacedNetwork

    module = runtime.prepare(PlacedNetwork(network).eval())

    def run(views: Image, place: Placement) -> Image:
        def there(image: Image) -> Image:
            with torch.inference_mode():
                moved = torch.from_numpy(image).to(device.torch_name)
                volume = module(moved, place.start, place.whole)
                restored: Image = volume.cpu().numpy()
            return restored

        return with_memory_errors(there, device.name, runtime.out_of_memory)(views)

    return run


def _single(choice: ModelChoice, network: Network) -> Network:
    """The network of the one task."""
    if choice.task is None and network.kind == "multitask":
        raise _several(network)
    if choice.task in (None, network.task):
        return network
    return task_network(network, choice.task)


def _in_precision(network: Network, precision: str) -> "nn.Module":
    """The network computing in two bytes, once it is proven to be the same picture."""
    from unifmir.export.cases import calibration_inputs
    from unifmir.precision.planning import plan_precision
    from unifmir.precision.variants import computing
    from unifmir.samples import sample

    inputs = calibration_inputs(network.config, "network", [sample(network.task).image])
    plan = plan_precision(network, precision, inputs, variants=("computing",))
    if not plan.passed:
        raise ExportError(
            f"in {precision} this model is not the same picture as in fp32: "
            f"{'; '.join(plan.failures[:3])}. Use --precision fp32"
        )
    return computing(network, plan.recipe)


def _of_file(choice: ModelChoice, path: Path, device: Device) -> Predictor:
    exporter = FORMATS[format_of(path)]
    lineage = exporter.lineage(path)
    config = lineage.network_config
    if choice.task not in (None, config.task):
        raise UnifmirError(f"{path.name} is for {config.task}, not for {choice.task}")
    if lineage.interface == "raw":
        raise UnifmirError(
            f"{path.name} takes whole images in raw intensities and scales them itself; restoring "
            "cuts an image into tiles, which have other percentiles than the whole. Run it with "
            "its runtime alone (docs/exported.md), or export the model with --interface image"
        )
    if choice.fast:
        raise UnifmirError(
            f"{path.name} was exported whole: --fast goes with a model or a checkpoint"
        )
    if choice.precision not in ("fp32", lineage.precision):
        raise UnifmirError(
            f"{path.name} is {lineage.precision}: a file has its precision; export it again "
            f"with --precision {choice.precision}"
        )
    sha256 = sha256_of(path)
    report = read_report(path)
    if report is not None and report.sha256 != sha256:
        logger.warning(
            "%s is not the file that was verified: its report is about sha256 %s, this is %s; "
            "`unifmir verify` tells whether it is the same picture",
            path,
            report.sha256,
            sha256,
        )
    with exporter.runnable(path) as source:
        runtime, session = open_model(
            choice,
            lambda _: source,
            device.name,
            lineage.types,
            file_format=exporter.runnable_format,
            proof=_proof_of_file(choice, exporter, source, lineage, sha256),
        )
    predictor = _predictor(
        session,
        config,
        lineage.interface,
        runtime=runtime,
        model=path.name,
        weights=sha256,
        precision=str(lineage.types),
        fast=False,
    )
    if not runs_foreign_graph(exporter, sha256):
        return predictor
    # Only here: files that were written here pay for nothing of it.
    from unifmir.zoo.restore.parent_check import with_parent_check

    return with_parent_check(predictor, path, lineage)


def _proof_of_file(
    choice: ModelChoice,
    exporter: Exporter,
    source: "nn.Module | Path",
    lineage: Lineage,
    sha256: str,
) -> DeviceProof:
    """Pictures of a file on the CPU, where it was verified when it was made."""

    def on_cpu() -> Callable[[Image], RealImage]:
        row = RUNTIMES[exporter.runtime]
        return open_session(row, source, device="cpu", threads=threads_of(choice)).run

    tolerance = tolerance_of(lineage.precision)
    return DeviceProof(sha256, lineage.network_config, lineage.interface, tolerance, on_cpu)


def _predictor(
    session: Session,
    config: SingleConfig,
    interface: InputKind,
    runtime: Runtime,
    **more: Any,
) -> Predictor:
    ran = {
        **session.ran,
        "runtime": runtime.name,
        **more,
        "task": config.task,
        "fallbacks": list(session.fallbacks),
    }
    device = str(session.ran["device"])
    run = with_memory_errors(session.run, device, runtime.out_of_memory)
    return Predictor(
        run,
        config,
        interface,
        device,
        ran,
        body_maps=runtime.body_maps,
        holds_attention=runtime.holds_attention,
    )


def _tell_fallbacks(choice: ModelChoice, predictor: Predictor) -> None:
    """Say what did not happen; an error where the device was named."""
    fallbacks = predictor.ran["fallbacks"]
    if fallbacks and choice.device != AUTO:
        raise BenchmarkError("; ".join(fallbacks))
    for fallback in fallbacks:
        logger.warning(fallback)
