"""Write the embedded model's entry from its weights and their evaluation.

`python -m unifmir.zoo.catalogue.refresh`, after training: no number of the entry is typed by
hand, and a test computes them again.
"""

import json
import logging
from pathlib import Path
from typing import Any

from unifmir.atomic import write_text
from unifmir.checkpoint.inspection import inspect_file
from unifmir.config import config_from_dict
from unifmir.metrics import METRICS
from unifmir.plain_text_values import read_json
from unifmir.zoo import EMBEDDED
from unifmir.zoo.catalogue import directories
from unifmir.zoo.catalogue.index import read_entry
from unifmir.zoo.catalogue.schema import ZooEntry, entry_text, normalisation_of, parse_entry

logger = logging.getLogger(__name__)


def refreshed(entry: ZooEntry, weights: Path, evaluation: Path) -> ZooEntry:
    """The entry with everything that follows from its files; null where a file is missing."""
    document = entry.model_dump(mode="json")
    found = inspect_file(weights) if weights.is_file() else None
    document["source"] |= {
        "sha256": found and found.sha256,
        "size_bytes": found and found.size_bytes,
    }
    document |= {
        "configuration": found and found.config,
        "parameters": found and found.parameters,
        "measured": [],
        "training": None,
    }
    config = config_from_dict(found.config) if found else None
    rules = normalisation_of(entry.task, config)
    document["normalisation"] = {name: rule.model_dump() for name, rule in rules.items()}
    if evaluation.is_file():
        report = read_json(evaluation)
        document["measured"] = measured_rows(report)
        document["training"] = report["training"]
    return parse_entry(json.dumps(document), entry.id)


def measured_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The field `measured` of an entry, of what `unifmir evaluate --json` printed.

    Parameters
    ----------
    report : dict
        `tasks` as printed, and the `command` and `seed` that they are of.
    """
    by = f"`{report['command']}`, seed {report['seed']}"
    rows = []
    for task, result in report["tasks"].items():
        common = {
            "dataset": f"{result['images']} simulated test images for {task}",
            "precision": "float32",
            "source": by,
        }
        rows += [
            {"metric": row.title, "value": result["model"][key], "unit": row.unit, **common}
            for key, row in METRICS.items()
            if key in result["model"]
        ]
        gain = f"{METRICS['psnr_db'].title} above the best simple method, {result['best_baseline']}"
        rows.append({"metric": gain, "value": result["gain_db"], "unit": "dB", **common})
    return rows


def main() -> None:
    """Refresh the entry in this checkout."""
    path = directories.packaged("entries", f"{EMBEDDED}.json")
    weights = directories.packaged("weights", f"{EMBEDDED}.safetensors")
    entry = refreshed(read_entry(path), weights, weights.with_suffix(".evaluation.json"))
    write_text(path, entry_text(entry))
    logger.info("%s: sha256 %s, %d measured", path.name, entry.source.sha256, len(entry.measured))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
