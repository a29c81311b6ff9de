"""A file of a model as its entry names it: by the SHA-256 and size of what is loaded."""

from pathlib import Path

from unifmir.atomic import temporary_folder
from unifmir.hashing import sha256_of
from unifmir.zoo.catalogue.schema import UrlSource, ZenodoSource, ZooEntry


def facts_as_named(entry: ZooEntry, file: Path, sha256: str) -> dict[str, str | int]:
    """SHA-256 and size in bytes of a file, to be held against the entry's.

    Entries name the weights of a download. Where that is a package and the user gives it whole, as
    its server has it, the weights inside are what counts.

    Parameters
    ----------
    entry : ZooEntry
    file : Path
    sha256 : str
        Of the file itself.

    Returns
    -------
    facts : dict
        `sha256` and `size_bytes`.

    Raises
    ------
    ZooError
        If it is an archive that is damaged, or it is not clear which member is meant.
    """
    source = entry.source
    whole: dict[str, str | int] = {"sha256": sha256, "size_bytes": file.stat().st_size}
    stated = source.model_dump(include=set(whole), exclude_none=True)
    if not isinstance(source, ZenodoSource | UrlSource) or stated.items() <= whole.items():
        return whole
    # Imported here: the file is nearly always the one that is named, and requests takes 0.1 s.
    from unifmir.zoo.catalogue.package_weights import weights_of
    from unifmir.zoo.catalogue.remote import patterns_of

    with (
        temporary_folder() as folder,
        weights_of(file, file.name, patterns_of(source), beside=folder) as weights,
    ):
        size_bytes = weights.path.stat().st_size
        return {"sha256": sha256_of(weights.path), "size_bytes": size_bytes}
