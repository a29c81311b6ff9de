"""A Hypha server, as far as drafts need it: its artifact manager and its login.

Hypha serves the functions of its services over plain HTTP, one POST each, beside the streaming
connection of its own client: `<server>/<workspace>/services/<service>/<function>`. That is what is
used here, with the connections that all of the zoo uses. The client, hypha-rpc 0.21, sets up the
logging of the whole process on standard output when it is imported, and connects anew for ever
where a server does not answer.

What would publish (`commit`, or an edit that is not staged) cannot be said with this module.
"""

import time
from collections.abc import Mapping
from typing import Any

from unifmir.errors import ZooError
from unifmir.zoo.publish.access_token import Token
from unifmir.zoo.publish.destination import Tell
from unifmir.zoo.publish.web_service import WebService

MANAGER = "/public/services/artifact-manager"
LOGIN = "/public/services/hypha-login"
LOGIN_S = 300.0
"""Time that a login may take."""
LOGIN_POLL_S = 2.0
MOST_LISTED = 1000
REVIEWING = ("rw", "rw+", "*")
"""Codes of the collection's permissions that reviewers have."""
_EVERYBODY = ("*", "@")


class ArtifactManager:
    """Drafts in one collection."""

    def __init__(self, service: WebService) -> None:
        self.service = service

    def _ask(self, function: str, arguments: Mapping[str, Any]) -> Any:
        return self.service.ask("POST", f"{MANAGER}/{function}", arguments)

    def read(self, artifact: str, *, stage: bool) -> dict[str, Any]:
        """An artifact, or its draft."""
        found = self._ask("read", read_arguments(artifact, stage=stage))
        return _mapping(found, "read")

    def create_draft(self, arguments: Mapping[str, Any]) -> str:
        """Create a draft, asked once; its identifier.

        Raises
        ------
        Interrupted
            There may be one now or not.
        """
        if arguments.get("stage") is not True or arguments.get("overwrite") is not False:
            raise ValueError("a draft is staged, and overwrites nothing")
        found = self.service.ask_once("POST", f"{MANAGER}/create", arguments)
        return _identifier(_mapping(found, "create"))

    def drafts_with_key(self, collection: str, name: str, key: str) -> list[str]:
        """Identifiers of the drafts of a name whose configuration holds a key."""
        arguments = {
            "parent_id": collection,
            "filters": {"manifest": {"name": name}},
            "stage": True,
            "limit": MOST_LISTED,
        }
        listed = self._ask("list", arguments)
        items = listed.get("items", []) if isinstance(listed, dict) else listed
        if not isinstance(items, list) or len(items) > MOST_LISTED:
            raise ZooError(f"the server's list of drafts is no list of at most {MOST_LISTED}")
        found = [_identifier(_mapping(item, "list")) for item in items]
        return [one for one in found if _key_of(self.read(one, stage=True)) == key]

    def place_for(self, artifact: str, name: str, download_weight: int) -> Any:
        """Address that a file of a draft is sent to, as the server says it."""
        return self._ask("put_file", put_arguments(artifact, name, download_weight))

    def place_of(self, artifact: str, name: str) -> Any:
        """Address that a file of a draft is read from, as the server says it."""
        return self._ask("get_file", get_arguments(artifact, name))

    def file_names(self, artifact: str) -> set[str]:
        """Names of the files that a draft has."""
        listed = self._ask("list_files", list_arguments(artifact))
        if not isinstance(listed, list) or len(listed) > MOST_LISTED:
            raise ZooError(f"the server's list of files is no list of at most {MOST_LISTED}")
        return {str(_mapping(item, "list_files").get("name")) for item in listed}

    def remove_file(self, artifact: str, name: str) -> None:
        """Remove a file of a draft."""
        self._ask("remove_file", {"artifact_id": artifact, "file_path": name})

    def edit_draft(self, artifact: str, manifest: Mapping[str, Any]) -> None:
        """Replace what a draft says of itself: it stays a draft."""
        self._ask("edit", edit_arguments(artifact, manifest))


def login(service: WebService, show: Tell) -> Token:
    """Have the user log in with a browser; the token that the server then gives.

    Parameters
    ----------
    service : WebService
        Without a token.
    show : callable
        Shows the user the address to log in at.

    Raises
    ------
    ZooError
        The server offers no login or refuses, or nobody logged in, in five minutes.
    """
    begun = service.ask("POST", f"{LOGIN}/start", {})
    if not isinstance(begun, dict) or not isinstance(begun.get("key"), str):
        raise ZooError(f"{service.title}: the server offers no login; set HYPHA_TOKEN")
    place = service.checked_place(begun.get("login_url"))
    show(f"Log in here, within {LOGIN_S / 60:g} minutes: {place}")
    end = time.monotonic() + LOGIN_S
    while time.monotonic() < end:
        found = service.ask("POST", f"{LOGIN}/check", {"key": begun["key"], "timeout": 0})
        if found:
            return Token(str(found), "the login")
        time.sleep(LOGIN_POLL_S)
    raise ZooError(f"{service.title}: nobody logged in within {LOGIN_S / 60:g} minutes; try again")


def read_arguments(artifact: str, *, stage: bool) -> dict[str, Any]:
    """Arguments of `read`, which counts as no view."""
    return {"artifact_id": artifact, "silent": True, **({"stage": True} if stage else {})}


def put_arguments(artifact: str, name: str, download_weight: int) -> dict[str, Any]:
    """Arguments of `put_file`."""
    return {"artifact_id": artifact, "file_path": name, "download_weight": download_weight}


def get_arguments(artifact: str, name: str) -> dict[str, Any]:
    """Arguments of `get_file` of a draft, which counts as no download."""
    return {"artifact_id": artifact, "file_path": name, "silent": True, "stage": True}


def list_arguments(artifact: str) -> dict[str, Any]:
    """Arguments of `list_files` of a draft."""
    return {"artifact_id": artifact, "stage": True, "limit": MOST_LISTED}


def edit_arguments(artifact: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `edit`, always staged: without that it would publish."""
    return {"artifact_id": artifact, "manifest": dict(manifest), "stage": True}


def reviewers(collection: Mapping[str, Any]) -> list[str]:
    """People and workspaces that may change all of a collection, and not everybody."""
    config = collection.get("config")
    permissions = config.get("permissions") if isinstance(config, dict) else None
    if not isinstance(permissions, dict):
        return []
    return sorted(
        str(who) for who, code in permissions.items() if code in REVIEWING and who not in _EVERYBODY
    )


def _key_of(artifact: Mapping[str, Any]) -> Any:
    config = artifact.get("config")
    return config.get("unifmir_submission") if isinstance(config, dict) else None


def _identifier(artifact: Mapping[str, Any]) -> str:
    """`workspace/alias` of an artifact."""
    found = artifact.get("id")
    if not isinstance(found, str) or not found or len(found) > 500 or not found.isprintable():
        raise ZooError(f"the server named no artifact: {str(found)[:80]!r}")
    workspace, alias = artifact.get("workspace"), artifact.get("alias")
    if "/" not in found and isinstance(workspace, str) and isinstance(alias, str):
        return f"{workspace}/{alias}"
    return found


def _mapping(found: Any, function: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ZooError(f"the server answered {function} with {str(found)[:80]!r}, no artifact")
    return found
