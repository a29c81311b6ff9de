"""Files that were written here: programs that may run, and texts that are read again.

TorchScript files, packages of AOTInductor and engines are programs: whoever runs one lets its
author do as this user may. Each file that is written is remembered by its SHA-256, signed with a
key of this user, in a folder that nobody else can write to; all others are strangers' until they
are trusted, and run within limits even then. Graphs are data and need no trust, but those of others
have the same limits. Texts that decide what a picture is, as a journal, carry their signature.
"""

import hmac
import logging
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from unifmir.atomic import working_folder, writing
from unifmir.errors import UntrustedError
from unifmir.hashing import SHA256_PATTERN
from unifmir.user_folders import OTHERS_TOUCH, OTHERS_WRITE, require_private, user_folder

logger = logging.getLogger(__name__)

FOLDER = "UNIFMIR_TRUSTED"
"""Environment variable that names another folder for the records and the key."""
_KEY = "key"
_KEY_BYTES = 32
_WRITTEN, _TRUSTED, _VERIFIED = "written", "trusted", "verified"
"""Why a hash is remembered: this installation wrote the file, its user trusts who did, or it is of
the facts of a device that gave the picture of the CPU."""
_unrecorded: set[str] = set()
"""Files that this process wrote and could not record: it may run them, to verify them."""


def trust(sha256: str) -> None:
    """Remember that the program of a file may run here, now and later.

    Parameters
    ----------
    sha256 : str
        Of the whole file, 64 hexadecimal digits.

    Raises
    ------
    UntrustedError
        It is no SHA-256, or the folder of the records cannot be used.
    """
    wanted = sha256.lower()
    if not re.fullmatch(SHA256_PATTERN, wanted):
        raise UntrustedError(
            f"{sha256[:80]!r} is no SHA-256: expected 64 hexadecimal digits, as `sha256sum FILE` "
            "prints them"
        )
    if not is_own(wanted):
        _remember(wanted, _TRUSTED)


def _remember(wanted: str, why: str) -> None:
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(folder, OTHERS_WRITE)
        signature = _signature(_key(folder, create=True), wanted, why)
        with writing(folder / wanted, private=True) as aside:
            aside.write_text(signature, "utf-8")
    except OSError as error:
        raise UntrustedError(
            f"{folder}: what is trusted cannot be remembered ({error.strerror or error}); name a "
            f"folder that can be written to with the environment variable {FOLDER}"
        ) from error


def remember_own(sha256: str) -> None:
    """Remember a file that this process wrote; where that cannot be, for this process alone."""
    try:
        _remember(sha256, _WRITTEN)
    except UntrustedError as error:
        if not _unrecorded:
            logger.warning(
                "%s. From now on the file counts as one that came from elsewhere: other processes "
                "do not run it until `unifmir trust` says so",
                error,
            )
        _unrecorded.add(sha256)


def remember_verified(sha256: str) -> None:
    """Remember that a device gave the picture of the CPU; where that cannot be, it is said.

    Parameters
    ----------
    sha256 : str
        Of the facts that decide it: model, runtime, versions, device.
    """
    try:
        _remember(sha256, _VERIFIED)
    except UntrustedError as error:
        logger.warning("%s. Until then each device is held against the CPU every time", error)


def was_verified(sha256: str) -> bool:
    """Whether a device with these facts gave the picture of the CPU."""
    return sha256 not in _unrecorded and _remembered(sha256, _VERIFIED)


def is_trusted(sha256: str) -> bool:
    """Whether the program of a file with this SHA-256 may run here."""
    return _remembered(sha256, _WRITTEN, _TRUSTED)


def is_own(sha256: str) -> bool:
    """Whether this installation wrote a file with this SHA-256."""
    return _remembered(sha256, _WRITTEN)


def _remembered(sha256: str, *reasons: str) -> bool:
    if sha256 in _unrecorded:
        return True
    folder = _folder()
    try:
        require_private(folder, OTHERS_WRITE)
        record = folder / sha256
        require_private(record, OTHERS_WRITE)
        signed = record.read_text("utf-8")
        key = _key(folder, create=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, UnicodeDecodeError, UntrustedError) as error:
        logger.warning("%s: its records of trusted files are not used: %s", folder, error)
        return False
    return any(
        hmac.compare_digest(signed.encode(), _signature(key, sha256, why).encode())
        for why in reasons
    )


def signature_of(text: str) -> str:
    """Signature of a text that this user will read again; empty where there can be no key."""
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(folder, OTHERS_WRITE)
        return _signature(_key(folder, create=True), text, "text")
    except (OSError, UntrustedError) as error:
        logger.warning("%s: nothing can be signed (%s)", folder, error)
        return ""


def is_signed(text: str, signature: str) -> bool:
    """Whether a text has the signature that `signature_of` gave it, to this user."""
    folder = _folder()
    try:
        require_private(folder, OTHERS_WRITE)
        key = _key(folder, create=False)
    except (OSError, UntrustedError):
        return False
    return hmac.compare_digest(signature.encode(), _signature(key, text, "text").encode())


def require_trusted(path: Path, sha256: str, what: str) -> None:
    """Refuse to run a stranger's program.

    Parameters
    ----------
    path : Path
        The file, for the message.
    sha256 : str
        Of what would be run.
    what : str
        The kind of program it holds.

    Raises
    ------
    UntrustedError
        With what to do instead.
    """
    if not is_trusted(sha256):
        raise UntrustedError(
            f"{path.name} holds {what}, a program, and was not written here: it is not run. If you "
            f"know and trust who made it: unifmir trust {path} (sha256 {sha256}). Otherwise ask "
            "for the checkpoint or the ONNX file"
        )


def _folder() -> Path:
    return user_folder(FOLDER, "state", "trusted")


def _key(folder: Path, *, create: bool) -> bytes:
    """The key that records are signed with: a record from elsewhere does not have its signature."""
    path = folder / _KEY
    if create and not path.exists():
        with working_folder(folder) as aside, suppress(FileExistsError):
            made = aside / _KEY
            made.touch(mode=0o600)
            made.write_bytes(secrets.token_bytes(_KEY_BYTES))
            os.link(made, path)  # fails where another process was first: then its key holds
    require_private(path, OTHERS_TOUCH)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise UntrustedError(f"{path} is no key of {_KEY_BYTES} bytes: remove it")
    return key


def _signature(key: bytes, sha256: str, why: str) -> str:
    return hmac.new(key, f"{why} {sha256}".encode(), "sha256").hexdigest()
