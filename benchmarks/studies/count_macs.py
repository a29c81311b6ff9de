"""Count the multiply-accumulates of every full-size network in three ways, and the paper's tables.

    python -m benchmarks.studies.count_macs

writes benchmarks/results/macs.json: torch's dispatcher, the closed form, and the file that
`unifmir export` writes; and benchmarks/results/paper-tables.json, which is
`unifmir benchmark --paper-tables --json`. `make tables` then writes docs/costs.md.
"""

import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

from unifmir.benchmarks.studies.oracles.closed_form import count_analytic
from unifmir.benchmarks.studies.oracles.count_agreement import compare_counts
from unifmir.benchmarks.studies.oracles.onnx_macs import count_onnx
from unifmir.benchmarks.studies.result_files import write_result
from unifmir.checkpoint.saving import save
from unifmir.config import ReferenceConfig, SingleConfig
from unifmir.cost.dispatcher import count_dispatched
from unifmir.cost.paper.paper_tables import paper_rows
from unifmir.cost.paper.recipes import FULL
from unifmir.export.base import ExportJob
from unifmir.export.cases import example
from unifmir.export.credit import Credit
from unifmir.export.formats.onnx import DEFAULT_OPSET, ONNX
from unifmir.export.lineage import artifact_versions, lineage_of
from unifmir.interfaces import interface_of
from unifmir.machine import platform_facts, processor
from unifmir.model import build
from unifmir.precision.element_types import Precision
from unifmir.precision.planning import plan_precision
from unifmir.reference import REFERENCES
from unifmir.tasks import TASKS

SIZE = (16, 128, 128)
"""Depth, height and width; light fields have a quarter as many lenses."""


def networks() -> dict[str, SingleConfig]:
    """Every full-size network by name."""
    found: dict[str, SingleConfig] = {f"UniFMIR {task}": FULL.single(task) for task in TASKS}
    for name, row in REFERENCES.items():
        found |= {f"{name} {task}": ReferenceConfig(name, task) for task in row.tasks}
    return found


def counted(name: str, config: SingleConfig, folder: Path) -> dict[str, Any]:
    """One row."""
    network = build(config)
    source = save(network, folder / "parent.safetensors")
    inputs = [example(config, "network")]
    job = ExportJob(
        network=network,
        module=network,
        example=inputs[0],
        lineage=lineage_of(config, "network", Precision("fp32"), source),
        recipe=plan_precision(network, "fp32", inputs).recipe,
        opset=DEFAULT_OPSET,
        credit=Credit(),
    )
    file = folder / "network.onnx"
    ONNX.write(job, file)
    depth, height, width = SIZE
    if interface_of(config).lenses:
        height, width = height // 4, width // 4
    shape = interface_of(config).input_shape(
        config.signature, "network", batch=1, size=(depth, height, width)
    )
    agreement = compare_counts(
        {
            "dispatcher": count_dispatched(network, shape),
            "closed form": count_analytic(config, shape),
            "ONNX": count_onnx(file, shape),
        }
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        "network": name,
        "input_shape": list(shape),
        "parameters": parameters,
        **agreement.to_dict(),
        "sentence": agreement.sentence(),
    }


def main() -> None:
    """Count and write."""
    about = {
        "machine": {**platform_facts(), "processor": processor()},
        "versions": artifact_versions(),
    }
    rows = []
    with tempfile.TemporaryDirectory(prefix="unifmir-") as name:
        for title, config in track(networks().items(), "counting"):
            rows.append(counted(title, config, Path(name)))
    write_result(
        "macs.json",
        {"command": "python -m benchmarks.studies.count_macs", **about, "rows": rows},
    )
    tables = {"rows": [row.to_dict() for row in paper_rows()]}
    command = "unifmir benchmark --paper-tables --json"
    write_result("paper-tables.json", {"command": command, **about, **tables})


if __name__ == "__main__":
    main()
