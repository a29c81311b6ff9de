"""Places to publish at: each plans without a network, sends, tells, and takes back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from unifmir.json_values import JsonOutput
from unifmir.zoo.publish.access_token import Token
from unifmir.zoo.publish.publication import Publication
from unifmir.zoo.publish.submission import Ledger, Submission

Tell = Callable[[str], None]
"""Told, in one line, what is done now."""


@dataclass(frozen=True, slots=True)
class PlannedCall(JsonOutput):
    """One request of a submission, as it will be sent."""

    name: str
    """Function of the service, or method and path."""
    arguments: dict[str, Any]
    size_bytes: int = 0
    """Bytes of a file that is sent."""
    note: str = ""
    """Remark for people, where an answer decides that is not known yet."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Decisions of the user on an upload."""

    sandbox: bool = False
    """Use the place for trials, where there is one."""
    skip_test: bool = False
    """Hand in without the server's own test."""
    repository: str = ""
    """Name to give it, where one is chosen."""
    base_model: str = ""
    """Model on the same site that this one was made from."""


@dataclass(frozen=True, slots=True)
class Standing(JsonOutput):
    """How a submission stands on its server."""

    destination: str
    record: str
    status: str
    """The server's word."""
    files: int
    """Files that lie there."""
    link: str
    doi: str = ""
    report: dict[str, Any] | None = None
    """Result of the server's test, where it has run one."""


class Destination(ABC):
    """A place to publish at."""

    name: ClassVar[str]
    title: ClassVar[str]
    variable: ClassVar[str]
    """Environment variable of the token."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that mean something there."""
    has_score: ClassVar[bool] = False
    """Whether packages get a score there."""

    @abstractmethod
    def server(self, options: SendOptions) -> str:
        """Address of the server that the token is for, and that alone."""

    @abstractmethod
    def plan(self, publication: Publication, options: SendOptions) -> Submission:
        """The submission of a package, as far as no server need be asked."""

    @abstractmethod
    def calls(
        self, publication: Publication, submission: Submission, options: SendOptions
    ) -> tuple[PlannedCall, ...]:
        """All requests of `send`, in order, as the first run of it makes them."""

    @abstractmethod
    def token(self, options: SendOptions, show: Tell | None) -> Token:
        """The user's token; ZooError, which says how to have one, if there is none.

        Parameters
        ----------
        options : SendOptions
        show : callable, optional
            Shows a line to somebody who can act on it; None where nobody watches.
        """

    @abstractmethod
    def send(
        self,
        publication: Publication,
        ledger: Ledger,
        token: Token,
        options: SendOptions,
        tell: Tell,
    ) -> None:
        """Do what is left of a submission, each step noted in the ledger.

        Raises
        ------
        ZooError
            A step failed: the next run goes on there.
        """

    @abstractmethod
    def standing(self, submission: Submission, token: Token) -> Standing:
        """Ask the server how a submission stands; changes nothing."""

    @abstractmethod
    def withdraw(self, ledger: Ledger, token: Token) -> Standing:
        """Take a submission back from those who were to look at it; it stays as a draft."""
