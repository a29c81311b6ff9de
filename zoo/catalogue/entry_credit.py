"""Credit of a zoo entry, for a package made of its weights."""

import re
from collections.abc import Iterator
from dataclasses import replace
from textwrap import shorten

from unifmir.export.credit import (
    Citation,
    Credit,
    PackageRecipe,
    parse_maintainer,
    parse_person,
)
from unifmir.tasks import TASKS
from unifmir.zoo.catalogue.schema import MULTITASK, ZenodoSource, ZooEntry

SHORTEST_NAME, LONGEST_NAME = 5, 64
"""Characters of a package's name."""
SHORTEST_DESCRIPTION, LONGEST_DESCRIPTION = 50, 512
"""Characters of a package's description."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_+() -]")


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
        An author, maintainer or packager of the entry is no person.
    """
    stated, training = entry.package, given.training or entry.training
    return replace(
        given,
        authors=given.authors or tuple(map(parse_person, entry.authors)),
        packaged_by=given.packaged_by or tuple(map(parse_person, entry.packaged_by)),
        maintainers=given.maintainers or tuple(map(parse_maintainer, entry.maintainers)),
        licence=given.licence or entry.licence or "",
        training_data=given.training_data or (training and training.data) or entry.dataset,
        training=training,
        pixel_size_um=_pixel_size(entry),
        git_repo=given.git_repo or (stated and stated.git_repo) or "",
        funded_by=given.funded_by or (stated and stated.funded_by) or "",
        recipe=_recipe(entry, task),
    )


def _pixel_size(entry: ZooEntry) -> tuple[tuple[str, float], ...]:
    if entry.pixel_size_um is None:
        return ()
    return tuple(zip(TASKS[entry.task].input_axes, entry.pixel_size_um, strict=True))


def _recipe(entry: ZooEntry, task: str) -> PackageRecipe:
    stated = entry.package
    recipe = PackageRecipe(
        name=_name(stated.name if stated else entry.title, entry, task),
        description=_description(stated.description if stated else entry.notes, entry, task),
        cite=tuple(_citations(entry)),
        published_figures=tuple(_figures(entry, task)),
    )
    if stated is None:
        return recipe
    return replace(
        recipe,
        target_structure=stated.target_structure,
        modality=stated.modality,
        settings=stated.settings,
        derived_from=stated.derived_from or "",
    )


def _name(title: str, entry: ZooEntry, task: str) -> str:
    """Name of a package, which has letters, digits and few signs; of several tasks, with its own.

    Of a network with several tasks a package holds one.
    """
    name = " ".join(_NO_NAME.sub(" ", title).split())
    if entry.task == MULTITASK or len(name) < SHORTEST_NAME:
        name = f"{name[: LONGEST_NAME - len(TASKS[task].title) - 1]} {TASKS[task].title.lower()}"
    return name[:LONGEST_NAME].strip()


def _description(words: str, entry: ZooEntry, task: str) -> str:
    """Description of a package; empty where the entry has none.

    One that says too little, or what holds for several tasks, is told with the task's summary.
    """
    if words and (entry.task == MULTITASK or len(words) < SHORTEST_DESCRIPTION):
        words = f"{words} {TASKS[task].summary}"
    return shorten(words, LONGEST_DESCRIPTION, placeholder=" ...")


def _citations(entry: ZooEntry) -> Iterator[Citation]:
    """Works that the entry cites: of the weights' own record, and of what has no words, the id."""
    if entry.package is not None:
        yield from (Citation(work.text, work.doi) for work in entry.package.cite)
    if isinstance(entry.source, ZenodoSource):
        names = ", ".join(parse_person(author).name for author in entry.authors)
        yield Citation(f"{names}. {entry.title} (weights). Zenodo.", entry.source.doi)
    for work in entry.cite:
        address = "://" in work
        yield Citation(work, "" if address else work, work if address else "")


def _figures(entry: ZooEntry, task: str) -> Iterator[str]:
    """Sentences on the figures of the entry, of one task where it has several."""
    for one in entry.measured:
        if entry.task == MULTITASK and not one.dataset.endswith(f" for {task}"):
            continue
        value = " ".join(filter(None, (f"{one.value:g}", one.unit)))
        in_type = f" in {one.precision}" if one.precision else ""
        yield f"{one.metric} {value} on {one.dataset}{in_type} ({one.source})"
