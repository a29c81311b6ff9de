"""Credit of a zoo entry, for a package made of its weights."""

from dataclasses import replace

from unifmir.export.credit import Credit, parse_person
from unifmir.zoo.catalogue.schema import ZooEntry


def completed_credit(given: Credit, entry: ZooEntry) -> Credit:
    """Credit in the user's words, completed by those of the entry.

    Raises
    ------
    ExportError
        An author of the entry is no person.
    """
    return replace(
        given,
        authors=given.authors or tuple(parse_person(author) for author in entry.authors),
        licence=given.licence or entry.licence or "",
        training_data=given.training_data or f"{entry.dataset}. {entry.notes}",
    )
