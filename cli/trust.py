"""`unifmir trust`: let the program of a file from elsewhere run here."""

from pathlib import Path
from typing import Annotated

import typer

from unifmir.cli import output

TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="SHA256",
        help="Let the program of the file with this SHA-256 run here, now and later; repeatable.",
    ),
]


def trust(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Exported files whose makers you know and trust, or records of your own "
            "submissions from another machine."
        ),
    ],
    as_json: output.JsonFlag = False,
) -> None:
    """Let the programs of files from elsewhere run here, as if you had written them."""
    from unifmir.errors import ExportError
    from unifmir.export.formats import FORMATS, format_of
    from unifmir.hashing import sha256_of
    from unifmir.trusted_files import trust as remember
    from unifmir.zoo.publish.submission import SUFFIX

    found = []
    for file in files:
        if not file.is_file():
            raise ExportError(f"{file}: no such file; expected one made by `unifmir export`")
        is_record = file.name.endswith(SUFFIX)
        if not is_record and not FORMATS[format_of(file)].holds_program:
            raise ExportError(f"{file.name} holds no program: it needs no trust")
        found.append({"file": str(file), "sha256": sha256_of(file)})
    for one in found:
        remember(one["sha256"])
    shown = "\n".join(f"{one['sha256']}  {one['file']}" for one in found)
    output.print_result({"trusted": found}, shown, as_json=as_json)


def trust_given(sha256s: list[str] | None) -> None:
    """Remember what `--trust` names."""
    if sha256s:
        from unifmir.trusted_files import trust as remember

        for sha256 in sha256s:
            remember(sha256)
