"""Options on the people and licence of a package, of `unifmir export` and `unifmir publish`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unifmir.export.credit import Credit

Authors = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PERSON",
        help="Author of the weights, for a BioImage.IO package, as "
        "'NAME <ORCID> <E-MAIL> <@GITHUB_USER> AFFILIATION', all but the name as far as known "
        "('NAME <> AFFILIATION'); repeatable.",
    ),
]
Licence = Annotated[
    str,
    typer.Option(
        metavar="SPDX", help="Licence of the weights; a model of the zoo has its entry's."
    ),
]
Packagers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PERSON", help="Who makes the BioImage.IO package, as an author; repeatable."
    ),
]
Maintainers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GITHUB_USER",
        help="Who answers for the BioImage.IO package, repeatable; also as 'GITHUB_USER "
        "<E-MAIL>', as the site gives rights by the address. `bioimageio test` then needs a "
        "network, as it asks GitHub about the user.",
    ),
]


def stated_credit(
    authors: list[str] | None,
    licence: str,
    packaged_by: list[str] | None,
    maintainers: list[str] | None,
) -> "Credit":
    """Credit for the weights in the user's words.

    Raises
    ------
    ExportError
        Somebody named is no person, or the licence no SPDX identifier.
    """
    from unifmir.export.credit import Credit, checked_licence, parse_maintainer, parse_person

    return Credit(
        authors=tuple(map(parse_person, authors or ())),
        licence=checked_licence(licence) if licence else "",
        packaged_by=tuple(map(parse_person, packaged_by or ())),
        maintainers=tuple(map(parse_maintainer, maintainers or ())),
    )
