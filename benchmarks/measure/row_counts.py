"""Counts of one row: parameters, arithmetic and bytes, from `unifmir.cost`."""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from unifmir.benchmarks.measure.model_spec import read_recipe
from unifmir.config import SingleConfig
from unifmir.precision.element_types import Precision

logger = logging.getLogger(__name__)

_RECENT = 64
"""Networks and shapes whose counts are kept: the runtimes of one model share them."""


def counts_of(
    config: SingleConfig,
    input_shape: tuple[int, ...],
    *,
    precision: str,
    file: Path,
    plan: Path | None = None,
) -> dict[str, Any]:
    """Counts of one subject, as JSON values.

    Parameters
    ----------
    config : SingleTaskConfig or ReferenceConfig
        Of the network.
    input_shape : tuple of int
        Of the image interface.
    precision : str
        As in `results.Subject`.
    file : Path
        What the runtime loads.
    plan : Path, optional
        Which modules stay in fp32, from `save_recipe`. Without it nothing is said of bits in
        another precision than fp32.
    """
    try:
        return _counts_of(config, input_shape, precision, file, plan)
    except (RuntimeError, TypeError) as error:  # of an operator that cannot run without data
        logger.warning("%s cannot be counted: %s", file.name, error)
        return {"file_bytes": file.stat().st_size}


def _counts_of(
    config: SingleConfig,
    input_shape: tuple[int, ...],
    precision: str,
    file: Path,
    plan: Path | None,
) -> dict[str, Any]:
    from unifmir.cost.bit_operations import bops
    from unifmir.cost.meta_device import meta_network
    from unifmir.model import image_interface

    counts = {**_arithmetic(config, input_shape), "file_bytes": file.stat().st_size}
    module = image_interface(meta_network(config))
    if precision == "fp32":
        bits, weights = bops(module, input_shape).bops, 4 * counts["parameters"]
    elif plan is not None:
        chosen, variant = read_recipe(plan), Precision.parse(precision).variant
        bits = bops(module, input_shape, variant=variant, recipe=chosen).bops
        weights = _weight_bytes(module, chosen)
    else:
        return counts
    return {**counts, "bops": bits, "weight_bytes": weights}


@lru_cache(_RECENT)
def _arithmetic(config: SingleConfig, input_shape: tuple[int, ...]) -> dict[str, Any]:
    from unifmir.cost.dispatcher import count_dispatched
    from unifmir.cost.meta_device import meta_network
    from unifmir.cost.traffic import count_traffic
    from unifmir.model import image_interface

    module = image_interface(meta_network(config))
    found = count_dispatched(module, input_shape)
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "macs": found.macs,
        "flops": found.flops,
        "breakdown": found.by_kind(),
        "traffic_bytes": count_traffic(module, input_shape),
    }


def _weight_bytes(module: Any, recipe: Any) -> int:
    """Bytes of the parameters, each in the type that holds it."""
    from unifmir.precision.variants import stored_dtypes

    dtypes = stored_dtypes(module, recipe)
    return sum(p.numel() * dtypes[name].itemsize for name, p in module.named_parameters())
