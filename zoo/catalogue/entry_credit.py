"""Credit of a zoo entry, for a package made of its weights."""

from collections.abc import Iterator
from dataclasses import replace

from unifmir.export.credit import Citation, Credit, PackageRecipe, parse_person
from unifmir.zoo.catalogue.schema import MULTITASK, PackageStatements, ZooEntry


def completed_credit(given: Credit, entry: ZooEntry, task: str) -> Credit:
    """Credit in the user's words, completed by those of the entry.

    Parameters
    ----------
    given : Credit
    entry : ZooEntry
    task : str
        Task that is exported, one of the entry's.

    Raises
    ------
    ExportError
        An author of the entry is no person.
    """
    credit = replace(
        given,
        authors=given.authors or tuple(parse_person(author) for author in entry.authors),
        licence=given.licence or entry.licence or "",
    )
    if (stated := entry.package) is None:
        told = f"{entry.dataset}. {entry.notes}"
        return replace(credit, training_data=given.training_data or told)
    training = given.training or stated.training
    return replace(
        credit,
        training_data=given.training_data or training.data or entry.dataset,
        training=training,
        git_repo=given.git_repo or stated.git_repo or "",
        funded_by=given.funded_by or stated.funded_by or "",
        recipe=_recipe(entry, stated, task),
    )


def _recipe(entry: ZooEntry, stated: PackageStatements, task: str) -> PackageRecipe:
    single = entry.task != MULTITASK
    return PackageRecipe(
        # Of a network with several tasks a package holds one, whose texts are the task's.
        name=stated.name if single else "",
        description=stated.description if single else "",
        target_structure=stated.target_structure,
        modality=stated.modality,
        settings=stated.settings,
        cite=tuple(Citation(work.text, work.doi) for work in stated.cite),
        derived_from=stated.derived_from or "",
        published_figures=tuple(_figures(entry, task)),
    )


def _figures(entry: ZooEntry, task: str) -> Iterator[str]:
    """Sentences on the figures of the entry, of one task where it has several."""
    for one in entry.measured:
        if entry.task == MULTITASK and not one.dataset.endswith(f" for {task}"):
            continue
        value = " ".join(filter(None, (f"{one.value:g}", one.unit)))
        in_type = f" in {one.precision}" if one.precision else ""
        yield f"{one.metric} {value} on {one.dataset}{in_type} ({one.source})"
