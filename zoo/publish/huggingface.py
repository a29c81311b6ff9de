"""Hugging Face: a package becomes a private repository, which the user makes public on the site.

Sent by huggingface_hub. The repository is made anew and private, and all goes into one commit.
A pull request would leave it empty until somebody merges, and on a public one would be seen by all
at once; a commit on a private repository is seen by its owner alone, and the same commit twice is
one. A repository that was there before, or that is public, is left alone.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from unifmir.errors import MissingExtraError, ZooError
from unifmir.zoo.catalogue.connection_errors import Interrupted
from unifmir.zoo.catalogue.servers import server_address
from unifmir.zoo.catalogue.transfer import ATTEMPTS, again_if_interrupted
from unifmir.zoo.publish.access_token import Token, token_in
from unifmir.zoo.publish.creating import create_once
from unifmir.zoo.publish.destination import Destination, PlannedCall, SendOptions, Standing, Tell
from unifmir.zoo.publish.hub_session import held_session
from unifmir.zoo.publish.model_card import card_metadata, model_card
from unifmir.zoo.publish.publication import PackageFile, Publication
from unifmir.zoo.publish.submission import Ledger, Submission, SubmittedFile, new_submission
from unifmir.zoo.publish.web_service import GO_ON

URL_VARIABLE = "HF_ENDPOINT"
"""The library's own variable for another server."""
HUGGINGFACE_URL = "https://huggingface.co"
CARD = "README.md"
_OWN_FILES = {".gitattributes"}
"""Files that the site makes by itself."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
"""Libraries of connections, by the version of huggingface_hub."""
RENEWAL = (
    "Make one at https://huggingface.co/settings/tokens with the right to write, and set HF_TOKEN"
)
_T = TypeVar("_T")


class HuggingFace(Destination):
    """Private repositories of the user's own account."""

    name = "huggingface"
    title = "Hugging Face"
    variable = "HF_TOKEN"
    takes = frozenset({"base_model", "repository"})

    def server(self, options: SendOptions) -> str:
        """The site's address, or what the library's own variable names."""
        del options
        return server_address(URL_VARIABLE, HUGGINGFACE_URL)

    def plan(self, publication: Publication, options: SendOptions) -> Submission:
        """The repository of a package."""
        usual = re.sub(r"[^A-Za-z0-9._]+", "-", publication.rdf["name"]).strip("-._")
        name = options.repository or usual
        if not _NAME.fullmatch(name):
            raise ZooError(
                f"{name!r} is no name of a repository: expected at most 96 letters, digits and "
                "`-_.`, without an owner, which is the account of the token: --repository NAME"
            )
        metadata = card_metadata(publication.rdf, base_model=options.base_model)
        card = model_card(publication, metadata)
        others = (file for file in publication.files if file.name != CARD)
        itself = PackageFile(CARD, len(card), hashlib.sha256(card).hexdigest(), is_weights=False)
        return new_submission(
            publication,
            destination=self.name,
            server=self.server(options),
            place=name,
            metadata=metadata,
            files=(itself, *others),
        )

    def calls(
        self, publication: Publication, submission: Submission, options: SendOptions
    ) -> tuple[PlannedCall, ...]:
        """The calls of the library's `HfApi` in a first run, in order."""
        del publication, options
        record = submission.record or f"<your name>/{submission.place}"
        made = []
        if not submission.record:
            made = [
                PlannedCall("whoami", {}),
                PlannedCall("create_repo", {"repo_id": record, "private": True}),
            ]
        files = [
            PlannedCall(
                "CommitOperationAdd",
                {"path_in_repo": file.name},
                size_bytes=file.size_bytes,
                note=f"sha256 {file.sha256}",
            )
            for file in submission.missing
        ]
        return (
            *made,
            PlannedCall("repo_info", {"repo_id": record}, note="goes on only if it is private"),
            PlannedCall("list_repo_tree", {"repo_id": record}),
            *files,
            PlannedCall("create_commit", {"repo_id": record}, note="of these, on its last commit"),
            PlannedCall("list_repo_tree", {"repo_id": record}, note="hashes of all compared"),
        )

    def token(self, options: SendOptions, show: Tell | None) -> Token:
        """The token of HF_TOKEN."""
        del options, show
        found = token_in(self.variable)
        if found is None:
            raise ZooError(f"{self.title}: no token in {self.variable}. {RENEWAL}")
        return found

    def send(
        self,
        publication: Publication,
        ledger: Ledger,
        token: Token,
        options: SendOptions,
        tell: Tell,
    ) -> None:
        """Make the repository once, and bring it to the package's files in one commit."""
        del options
        hub = _Hub(ledger.now.server, token)
        if not ledger.now.record:
            tell("creating the repository")
            _create(hub, ledger)
        record = ledger.now.record
        head = hub.private_head(record)
        there = hub.files(record)
        contents = {file.name: _content(publication, ledger, file) for file in ledger.now.files}
        wrong = [name for name, data in contents.items() if not _is_stored(data, there.get(name))]
        gone = sorted(set(there) - set(contents) - _OWN_FILES)
        if wrong or gone:
            size_bytes = sum(len(contents[name]) for name in wrong)
            tell(f"sending {len(wrong)} files, {size_bytes:,} bytes")
            hub.commit(record, {name: contents[name] for name in wrong}, gone, head)
            there = hub.files(record)
        for name, data in contents.items():
            ledger.note_stored(name, stored=_is_stored(data, there.get(name)))
        if ledger.now.missing:
            names = ", ".join(file.name for file in ledger.now.missing)
            raise ZooError(f"{self.title} lists other bytes of {names}. {GO_ON}")
        ledger.note(state="submitted")

    def standing(self, submission: Submission, token: Token) -> Standing:
        """Whether the repository is still private, and its files."""
        hub = _Hub(submission.server, token)
        status = "private" if hub.info(submission.record).private is True else "public"
        files = set(hub.files(submission.record)) - _OWN_FILES
        return Standing(self.name, submission.record, status, len(files), submission.link)

    def withdraw(self, ledger: Ledger, token: Token) -> Standing:
        """Refused: a private repository is seen by nobody else."""
        del token
        raise ZooError(
            "a private repository is seen by you alone, and nothing needs to be taken back. It is "
            f"deleted, or made private again, in its settings: {ledger.now.link}/settings"
        )


HUGGINGFACE = HuggingFace()


class _Hub:
    """The library's interface, its errors told in our words."""

    def __init__(self, server: str, token: Token) -> None:
        self._token = token
        self.server = server
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise MissingExtraError(
                "publishing at Hugging Face needs huggingface_hub: pip install 'unifmir[publish]'"
            ) from error
        self._api: HfApi = HfApi(endpoint=server, token=token.secret())

    def owner(self) -> str:
        """Name of the token's account."""

        def named() -> str:
            name = self._api.whoami()["name"]
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is no name of an account")
            return str(name)

        return self._again(named)

    def create(self, record: str) -> str:
        """Create a private repository, asked once."""
        with self._told():
            self._api.create_repo(record, private=True, exist_ok=False)
        return record

    def exists(self, record: str) -> bool:
        """Whether there is such a repository that the token can see."""
        return self._again(lambda: bool(self._api.repo_exists(record)))

    def info(self, record: str) -> Any:
        """Information of the site on a repository."""
        return self._again(lambda: self._api.repo_info(record))

    def private_head(self, record: str) -> str:
        """Last commit of a repository; ZooError where it is public."""
        info = self.info(record)
        if info.private is not True:
            raise ZooError(
                f"{record} is public on Hugging Face: nothing was changed. Change it on the site, "
                "or make it private in its settings and run the same command again"
            )
        return str(info.sha)

    def files(self, record: str) -> dict[str, str]:
        """Hash of each file of a repository: SHA-256 of large ones, git's SHA-1 of others."""
        from huggingface_hub.hf_api import RepoFile

        def listed() -> dict[str, str]:
            tree = self._api.list_repo_tree(record, recursive=True)
            found = [item for item in tree if isinstance(item, RepoFile)]
            hashes = ((one, one.lfs.sha256 if one.lfs else one.blob_id) for one in found)
            return {str(one.path): str(sha) for one, sha in hashes}

        return self._again(listed)

    def commit(self, record: str, files: dict[str, bytes], gone: list[str], head: str) -> None:
        """Store and remove files, if the last commit is still that one."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        def operations() -> list[CommitOperationAdd | CommitOperationDelete]:
            return [
                *(CommitOperationAdd(path_in_repo=n, path_or_fileobj=d) for n, d in files.items()),
                *(CommitOperationDelete(path_in_repo=name) for name in gone),
            ]

        try:
            with self._told():
                self._api.create_commit(
                    record,
                    operations(),
                    commit_message="Package by unifmir",
                    parent_commit=head,
                )
        except Interrupted as interruption:  # perhaps done: the next run looks
            raise self.unreachable(interruption) from None

    def unreachable(self, interruption: Interrupted) -> ZooError:
        """The error of a server that cannot be had."""
        return ZooError(f"Hugging Face ({self.server}): {interruption}. {GO_ON}")

    def _again(self, ask: Callable[[], _T]) -> _T:
        def once() -> _T:
            with self._told():
                return ask()

        try:
            return again_if_interrupted(self.server, once)
        except Interrupted as interruption:
            raise self.unreachable(Interrupted(f"{interruption}, {ATTEMPTS} times")) from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the library and of the connection, without the token."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            with held_session(self.server):
                yield
        except ZooError:
            raise
        except HfHubHTTPError as error:
            raise self._refusal(error) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = self._token.left_out(str(error))[:300]
            raise Interrupted(f"the answer cannot be read ({said})") from None
        except RuntimeError as error:  # what the library makes of any trouble with a large file
            cause = type(error.__cause__ or error).__name__
            raise Interrupted(f"a file was not taken ({cause})") from None
        except Exception as error:
            library = type(error).__module__.partition(".")[0]
            if library not in _TRANSPORTS and not isinstance(error, OSError):
                raise
            raise Interrupted(f"the connection failed ({type(error).__name__})") from None

    def _refusal(self, error: Any) -> Exception:
        status = error.response.status_code if error.response is not None else 0
        said = self._token.left_out(str(error.server_message or error))[:300]
        if status == 429 or status >= 500 or status == 0:
            return Interrupted(f"answered with {status}")
        if status in (401, 403):
            return ZooError(
                f"Hugging Face refuses ({status}): {said}. The token has expired, or lacks that "
                f"right. {RENEWAL}; then run the same command again, and it goes on from there"
            )
        if status == 409:
            return ZooError(
                f"Hugging Face has such a repository already, and it was not made from here: "
                f"choose another name with --repository NAME ({said})"
            )
        return ZooError(f"Hugging Face refuses ({status}): {said}. {GO_ON}")


def _create(hub: _Hub, ledger: Ledger) -> None:
    """Create the repository; one that an earlier request made is known by its name and state."""
    record = f"{hub.owner()}/{ledger.now.place}"

    def look() -> str:
        if not hub.exists(record):
            return ""
        if set(hub.files(record)) - _OWN_FILES:
            raise ZooError(
                f"{record} holds files that were not sent from here: choose another name with "
                "--repository NAME"
            )
        return record

    found = create_once(
        ledger, look=look, create=lambda: hub.create(record), unreachable=hub.unreachable
    )
    ledger.note(state="uploading", record=found, link=f"{ledger.now.server}/{found}")


def _content(publication: Publication, ledger: Ledger, file: SubmittedFile) -> bytes:
    if file.name == CARD:
        return model_card(publication, ledger.now.metadata)
    return publication.content(file.name)


def _is_stored(content: bytes, found: str | None) -> bool:
    """Whether a hash of the site's is that of a content."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return found in (hashlib.sha256(content).hexdigest(), git.hexdigest())
