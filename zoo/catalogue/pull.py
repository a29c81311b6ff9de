"""Files of models on this machine, downloaded and held against the recorded hash."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.shown_text import without_secrets
from unifmir.zoo.catalogue import directories, pins
from unifmir.zoo.catalogue.named_file import facts_as_named
from unifmir.zoo.catalogue.pins import Pin
from unifmir.zoo.catalogue.schema import EmbeddedSource, UrlSource, ZenodoSource, ZooEntry
from unifmir.zoo.catalogue.servers import zenodo_address

logger = logging.getLogger(__name__)

OnBytes = Callable[[int, int], None]
"""Callback with bytes done and bytes in all; 0 in all where the server does not say."""


def local_file(entry: ZooEntry, *, offline: bool = False, progress: OnBytes | None = None) -> Path:
    """The model's file on this machine, downloaded if it is not there yet.

    A file the user gave with `unifmir zoo add` goes before the entry's own source. The SHA-256 is
    compared on every call with the entry's, or else with that of the first pull; a file in the
    cache that differs is downloaded again.

    Parameters
    ----------
    entry : ZooEntry
        From `unifmir.zoo.catalogue.index.find`.
    offline : bool
        Never touch the network.
    progress : callable, optional
        Told about the download.

    Raises
    ------
    ZooError
        If the file cannot be had or is not the recorded one; says how to get it.
    """
    if (given := given_file(entry)) is not None:
        return _checked_given(entry, given)
    source = entry.source
    if isinstance(source, EmbeddedSource):
        return _embedded(entry, source)
    if isinstance(source, ZenodoSource):
        zenodo_address()  # said wrongly, it is told also where the file is here
    if not isinstance(source, ZenodoSource | UrlSource):
        raise ZooError(f"{entry.id} has no file on this machine. {how_to_get(entry)}")
    cached = cached_file(entry)
    if cached is not None:
        if sha256_of(cached) == expected_sha256(entry):
            return cached
        logger.warning("%s is not the file that was recorded: it is got again", cached)
    if offline:
        state = "is damaged" if cached else "is not on this machine"
        raise ZooError(f"the file of {entry.id} {state}, and offline is set. {how_to_get(entry)}")
    return _download(entry, source, progress)


def how_to_get(entry: ZooEntry) -> str:
    """Advice on how to have the file of a model, in a sentence or two."""
    add = f"`{giving(entry.id)}`"
    source = entry.source
    if isinstance(source, EmbeddedSource):
        return "It is part of unifmir: install the package again"
    if isinstance(source, ZenodoSource):
        address = f"https://doi.org/{source.doi}"
    elif isinstance(source, UrlSource):
        address = source.url
    else:
        return f"It cannot be downloaded: give a checkpoint file with {add}"
    return (
        f"Run `unifmir zoo pull {entry.id}` with a network, or download it from {address} and give "
        f"it with {add}"
    )


def giving(model_id: str) -> str:
    """Command that gives a model its file, also in the place of one that was given before."""
    before = pins.pin_of(model_id, "file") is not None
    return f"unifmir zoo add --from {model_id} --file FILE{' --replace' if before else ''}"


def given_file(entry: ZooEntry) -> Path | None:
    """Path of the file that the user gave for a model, or None; it may have been removed."""
    pin = pins.pin_of(entry.id, "file")
    return None if pin is None else given_folder(entry.id) / pin.filename


def given_folder(model_id: str) -> Path:
    """Folder of the file that the user gave for a model."""
    return directories.home() / "files" / model_id


def cached_file(entry: ZooEntry) -> Path | None:
    """The file of an earlier download, unchecked, or None."""
    pin = pins.pin_of(entry.id, "download")
    if pin is None:
        return None
    path = download_folder(entry.id) / pin.filename
    return path if path.is_file() else None


def present_file(entry: ZooEntry) -> Path | None:
    """Path of the model's file on this machine, unchecked, or None; never a download."""
    if (given := given_file(entry)) is not None:
        return given if given.is_file() else None
    if isinstance(entry.source, EmbeddedSource):
        path = directories.packaged("weights", entry.source.filename)
        return path if path.is_file() else None
    return cached_file(entry)


def download_folder(model_id: str) -> Path:
    """Folder of a model's download."""
    return directories.cache() / "zoo" / model_id


def expected_sha256(entry: ZooEntry) -> str | None:
    """SHA-256 of the downloaded file: the entry's own, else that of the first pull."""
    pin = pins.pin_of(entry.id, "download")
    return entry.source.sha256 or (pin.sha256 if pin else None)


def _checked_given(entry: ZooEntry, path: Path) -> Path:
    pin = pins.pin_of(entry.id, "file")
    if not path.is_file():
        raise ZooError(
            f"{path}, given for {entry.id}, is no longer there; give it again with "
            f"`{giving(entry.id)}`"
        )
    found = sha256_of(path)
    if pin is not None and found != pin.sha256:
        raise ZooError(
            f"{path} has changed since it was given for {entry.id}: its SHA-256 is {found}, "
            f"recorded was {pin.sha256}; give it again with `{giving(entry.id)}`"
        )
    named = entry.source.sha256
    # An entry may have learned its file's hash after the file was given.
    if named is not None and (given := facts_as_named(entry, path, found)["sha256"]) != named:
        raise ZooError(
            f"{path}, given for {entry.id}, is not the file that its entry names: its SHA-256 is "
            f"{given}, expected {named}; give that one with `{giving(entry.id)}`"
        )
    return path


def _embedded(entry: ZooEntry, source: EmbeddedSource) -> Path:
    path = directories.packaged("weights", source.filename)
    if not path.is_file():
        raise ZooError(f"{source.filename} is missing in this installation. {how_to_get(entry)}")
    if source.sha256 is not None and (found := sha256_of(path)) != source.sha256:
        raise ZooError(
            f"{path} is damaged: its SHA-256 is {found}, expected {source.sha256}. "
            f"{how_to_get(entry)}"
        )
    return path


def _download(entry: ZooEntry, source: ZenodoSource | UrlSource, progress: OnBytes | None) -> Path:
    # Imported here: most uses find the file on this machine, and requests takes 0.1 s to import.
    from unifmir.zoo.catalogue import package_weights, remote, transfer
    from unifmir.zoo.catalogue.connection_errors import Interrupted

    folder = download_folder(entry.id)
    with transfer.lock_folder(folder):
        try:
            offer = remote.find_remote_file(source)
        except ZooError as error:
            if not isinstance(error.__cause__, Interrupted):
                raise
            raise ZooError(f"{error}. {how_to_get(entry)}") from error
        limit = None if offer.is_archive else source.size_bytes
        partial = transfer.download(
            offer.url,
            folder,
            size_bytes=offer.size_bytes or limit,
            checksum=offer.checksum,
            maximum_bytes=limit or transfer.MAX_BYTES,
            progress=progress or (lambda _done, _total: None),
        )
        try:
            with package_weights.weights_of(
                partial, offer.filename, remote.patterns_of(source)
            ) as found:
                digest, size = sha256_of(found.path), found.path.stat().st_size
                expected = expected_sha256(entry)
                if expected is not None and digest != expected:
                    raise ZooError(_changed(entry, offer.url, digest, expected))
                place = folder / found.filename
                found.path.replace(place)
        finally:
            # Complete but unusable, or unpacked: nothing of it helps the next pull.
            partial.unlink(missing_ok=True)
        _pin(entry, place, digest, size, offer.url)
    logger.info(
        "%s: %d bytes from %s, SHA-256 %s", entry.id, size, without_secrets(offer.url), digest
    )
    return place


def _pin(entry: ZooEntry, place: Path, digest: str, size: int, url: str) -> None:
    today = datetime.now(UTC).date().isoformat()
    old = pins.pin_of(entry.id, "download")
    if old is None or (old.sha256, old.filename) != (digest, place.name):
        pins.record(
            entry.id, "download", Pin(place.name, digest, size, without_secrets(url), today)
        )


def _changed(entry: ZooEntry, url: str, found: str, expected: str) -> str:
    pin = pins.pin_of(entry.id, "download")
    if entry.source.sha256:
        return (
            f"{url} is not the file of {entry.id} that the zoo entry names: its SHA-256 is "
            f"{found}, expected {expected}. Nothing was kept"
        )
    return (
        f"{url} is not the file of {entry.id} that was recorded at the first pull, "
        f"{pin and pin.added}: its SHA-256 is {found}, expected {expected}. Nothing was kept. "
        "If the authors have published a new version and "
        f"you want it, remove {pins.pins_file(entry.id)} and pull again"
    )
