"""Table of `partner_checks`: verdicts of the zoo's partners on packages."""

from typing import Any

from unifmir.benchmarks.studies.result_files import origin
from unifmir.text_tables import markdown_rows


def partners_table(document: dict[str, Any]) -> str:
    """Verdicts of the zoo's partners on packages, and what ran in place of their own versions."""
    names = [check["name"] for check in document["rows"][0]["checks"]]
    rows = []
    for row in document["rows"]:
        outcomes = {check["name"]: check["outcome"] for check in row["checks"]}
        told = ["**failed**" if (one := outcomes[name]) == "failed" else one for name in names]
        name = row["package"].split(".")[0]
        score = row["score"]
        total = "-" if score is None else f"{score['total']:.3f}"
        rows.append([f"{row['network']} `{name}`", *told, total])
    table = markdown_rows(["package", *(f"`{name}`" for name in names), "expected score"], rows)
    notes = []
    for position, name in enumerate(names):
        found = [row["checks"][position] for row in document["rows"]]
        ran: dict[str, str] = next((check["versions"] for check in found if check["versions"]), {})
        libraries = ", ".join(f"{library} {version}" for library, version in ran.items())
        told = [text for check in found for text in check["instead"]]
        told += [
            check["detail"].partition(";")[0] for check in found if check["outcome"] == "not run"
        ]
        listed = "; ".join(filter(None, [libraries, *dict.fromkeys(told)]))
        notes.append(f"- `{name}`: {listed or 'rules alone'}")
    failed = [
        f"- {row['network']} `{row['package']}`, `{check['name']}`: {check['detail']}"
        for row in document["rows"]
        for check in row["checks"]
        if check["outcome"] == "failed"
    ]
    details = "\n".join([*notes, *failed])
    machine = document["machine"]
    return f"{table}\n\n{details}\n\n{machine['processor']}; {origin(document)}"
