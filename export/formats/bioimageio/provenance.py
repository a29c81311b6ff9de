"""Provenance of a package: parent, configuration, costs, halo, verification.

It goes into `config.unifmir` of the description as data, and into the README as sentences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from unifmir.config import SingleConfig
from unifmir.cost.dispatcher import count_dispatched
from unifmir.export.credit import MeasuredCost
from unifmir.export.formats.bioimageio.card import ModelCard
from unifmir.export.formats.bioimageio.halo import HaloMeasurement
from unifmir.export.formats.bioimageio.package_axes import tile_rule
from unifmir.export.formats.bioimageio.tensors import Batch
from unifmir.machine import versions
from unifmir.model import network_of
from unifmir.networks.base import Network

RELATIVE_TOLERANCE = 1e-3
"""Default of the zoo, stated instead of widened: all formats hold the same rounded weights."""
MISMATCHES_PER_MILLION = 100
LARGEST_ABSOLUTE_SHARE = 0.01
"""Share of the test output's maximum above which the zoo refuses an absolute tolerance."""


_BUILDERS = ("bioimageio.spec", "bioimageio.core", "torch")
"""Libraries whose versions decide what a package looks like."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers measured while the package was made."""

    halo: HaloMeasurement
    costs: dict[str, Any]
    agreement: dict[str, dict[str, float]]
    ranges: dict[str, list[float]]
    """Least and largest value of the test tensors: what to expect of one's own image."""


def provenance(
    network: Network,
    card: ModelCard,
    measured: Measured,
    *,
    storage: str,
    image_note: str,
    lineage: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Section `config.unifmir` of the description, as JSON values."""
    config: SingleConfig = network.config
    rule = tile_rule(config)
    facts: dict[str, Any] = {
        "version": card.unifmir_version,
        "network": network_of(config),
        "storage": storage,
        "arithmetic": "float32",
        "tiles": {**asdict(rule), "largest_halo": rule.largest_halo},
        # Its curve is in verification.json.
        "halo": {k: v for k, v in measured.halo.to_dict().items() if k != "curve"},
        "ranges": measured.ranges,
        "costs": measured.costs,
        "agreement": measured.agreement,
        "built_with": versions(*_BUILDERS),
        "test_image": image_note,
        "lineage": dict(lineage),
    }
    if card.training_data:
        facts["training_data"] = card.training_data
    if card.training is not None:
        facts["training"] = card.training.stated()
    if card.pixel_size_um:
        facts["pixel_size_um"] = dict(card.pixel_size_um)
    if card.settings:
        facts["recommended_settings"] = card.settings
    if network.source is not None:
        facts["source"] = _source(network.source)
    if network.certificate is not None:
        facts["pruning"] = _certificate(network.certificate)
    if reports:
        facts["verification"] = {_report_name(r): _report(r) for r in reports}
        facts["versions"] = dict(reports[0].get("versions", {}))
        facts["machine"] = dict(reports[0].get("machine", {}))
    return facts


def origin(network: Network, lineage: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on the parent files and the pruning certificate."""
    parent = lineage["parent"]
    lines = [f"Made from the fp32 single-task file `{parent['name']}`, SHA-256 {parent['sha256']}."]
    if network.source is not None and network.source.sha256:
        lines.append(f"Weights from `{network.source.name}`, SHA-256 {network.source.sha256}.")
    if network.certificate is not None:
        made = network.certificate
        same = sum(bool(row.get("identical")) for row in made.comparisons)
        lines.append(
            f"Pruned to {made.task} from `{made.parent.name}` (SHA-256 "
            f"{made.parent.sha256 or 'of no file'}): {made.parameters_before:,} parameters became "
            f"{made.parameters_after:,}; outputs were identical bit for bit on {same} of "
            f"{len(made.comparisons)} inputs. SHA-256 over the kept tensors: {made.child_sha256}."
        )
    return tuple(lines)


def costs(
    network: nn.Module, module: nn.Module, image: Batch, files: Mapping[str, Path]
) -> dict[str, Any]:
    """Counted costs of the model, the same on every machine.

    Parameters
    ----------
    network, module : module
        The network, and its image interface.
    image : array
        The test input, raw intensities.
    files : mapping
        Weight format -> file.
    """
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "gmac": float(f"{count_dispatched(module, image.shape).macs / 1e9:.3g}"),
        "image_px": list(image.shape[2:]),
        "parameters": parameters,
        "float32_bytes": 4 * parameters,
        "file_bytes": {name: path.stat().st_size for name, path in files.items()},
    }


def cost_sentences(measured: Sequence[MeasuredCost]) -> tuple[str, str]:
    """Inference time and memory in words, each empty where it was not measured."""
    memory = "; ".join(cost.memory for cost in measured if cost.memory)
    return "; ".join(cost.time for cost in measured), memory


def tolerance(test_output: Batch) -> dict[str, float]:
    """Tolerance of a consumer's result against the test output, in normalised units."""
    allowed = LARGEST_ABSOLUTE_SHARE * float(test_output.max())
    return {
        "relative_tolerance": RELATIVE_TOLERANCE,
        "absolute_tolerance": min(1e-3, float(f"{0.9 * max(allowed, 0.0):.1g}")),
        "mismatched_elements_per_million": MISMATCHES_PER_MILLION,
    }


def _source(source: Any) -> dict[str, Any]:
    return {key: value for key, value in source.to_dict().items() if value}


def _certificate(certificate: Any) -> dict[str, Any]:
    return {
        "parent": _source(certificate.parent),
        "parameters_before": certificate.parameters_before,
        "parameters_after": certificate.parameters_after,
        "bytes_before": certificate.bytes_before,
        "bytes_after": certificate.bytes_after,
        "keys_kept": len(certificate.kept),
        "keys_dropped": len(certificate.dropped),
        "child_sha256": certificate.child_sha256,
        "inputs_compared": len(certificate.comparisons),
    }


def _report_name(report: Mapping[str, Any]) -> str:
    parts = (report.get("format"), report.get("precision"), report.get("variant"))
    return "-".join(str(part) for part in parts if part)


def _report(report: Mapping[str, Any]) -> dict[str, Any]:
    cases = report.get("cases", [])
    values = {
        "artifact": report.get("artifact"),
        "passed": report.get("passed"),
        "tolerance": report.get("tolerance"),
        "cases": len(cases),
        "largest_difference": _extreme(max, cases, "max_abs"),
        "largest_difference_over_std": _extreme(max, cases, "max_abs_over_std"),
        "least_psnr_db": _extreme(min, cases, "psnr_db"),
    }
    return {key: value for key, value in values.items() if value is not None}


def _extreme(choose: Any, cases: Sequence[Mapping[str, Any]], key: str) -> float | None:
    found = [float(c[key]) for c in cases if isinstance(c.get(key), int | float)]
    return float(f"{choose(found):.3g}") if found else None
