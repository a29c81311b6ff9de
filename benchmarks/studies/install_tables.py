"""Tables of docs/install.md: devices, extras, and the way of a newcomer."""

from typing import Any

from unifmir.benchmarks.studies.newcomer_path import newcomer_table
from unifmir.benchmarks.studies.resolved_extras import resolved_table
from unifmir.benchmarks.studies.result_files import RESULTS
from unifmir.devices import DEVICES, Device
from unifmir.text_tables import markdown_rows
from unifmir.zoo.doctor.device_findings import serving


def devices_table(_document: dict[str, Any]) -> str:
    """The rows of `DEVICES`."""
    rows = [
        [
            f"`{kind.name}`" + (f", `{kind.name}{kind.separator}1`, ..." if kind.separator else ""),
            kind.needs,
            ", ".join(f"`{name}`" for name in serving(Device(kind).name)),
            "yes" if kind.trains else "no",
            "yes" if kind.measured else "not measured here",
        ]
        for kind in DEVICES.values()
    ]
    columns = ["device", "needs", "runtimes", "training", "was run here"]
    return markdown_rows(columns, rows)


INSTALL_TABLES = {
    "newcomer": (RESULTS / "newcomer-path.json", newcomer_table),
    # Its rows are those of the code; the file is any.
    "devices": (RESULTS / "macs.json", devices_table),
    "resolved": (RESULTS / "resolved-extras.json", resolved_table),
}
"""Name of a table -> result file, and what writes it."""
