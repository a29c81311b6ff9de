"""What every place to publish at keeps to, whatever its server does meanwhile."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from tests.helpers.faulty_server import KINDS, Fault, Script
from tests.helpers.huggingface_server import STEPS as HUB_STEPS
from tests.helpers.huggingface_server import TOKEN as HUB_TOKEN
from tests.helpers.huggingface_server import Hub, huggingface_serving
from tests.helpers.hypha_server import STEPS as HYPHA_STEPS
from tests.helpers.hypha_server import TOKEN as HYPHA_TOKEN
from tests.helpers.hypha_server import Hypha, hypha_serving
from tests.helpers.publications import FILES, RDF, README, given_package, without_waiting
from tests.helpers.quick_rows import few_quick
from tests.helpers.zenodo_server import STEPS as ZENODO_STEPS
from tests.helpers.zenodo_server import TOKEN as ZENODO_TOKEN
from tests.helpers.zenodo_server import Deposits, zenodo_serving
from tests.toys.destination import TOKEN as SHELF_TOKEN
from tests.toys.destination import URL_VARIABLE as SHELF_VARIABLE
from tests.toys.destination import Shelf, shelf_serving
from unifmir import atomic
from unifmir.errors import InUseError, ZooError
from unifmir.file_locks import held
from unifmir.zoo.publish import bioimageio, huggingface, publishing, submission, zenodo
from unifmir.zoo.publish.destination import SendOptions
from unifmir.zoo.publish.destinations import DESTINATIONS

CREATED_ALL_THE_SAME = ("create-cut", "create-unsaid", "create-garbage")
"""Faults after which the next attempt finds what was made, and nobody need be told."""


class KilledError(BaseException):
    """What no code of ours catches."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given_package(tmp_path, monkeypatch)


class DestinationContract(ABC):
    """Tests that a destination inherits; a row below gives its server, steps and proof."""

    name: ClassVar[str]
    token: ClassVar[str]
    address_variable: ClassVar[str]
    """Environment variable of another server's address."""
    steps: ClassVar[tuple[str, ...]]
    """Steps of the server at which something may go wrong."""
    kinds: ClassVar[tuple[str, ...]] = (*KINDS, "expired")
    stored_otherwise: ClassVar[tuple[Fault, ...]] = (Fault("PUT", "short"),)
    """Files that the server keeps other bytes of than it was sent."""
    quick: ClassVar[tuple[str, ...]]
    """Faults among the quick tests."""
    healed: ClassVar[tuple[str, ...]] = CREATED_ALL_THE_SAME
    """Faults that the same run gets over."""

    @contextmanager
    @abstractmethod
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[Script]:
        """The place's server on this machine, with the token in the environment."""
        yield Script()

    @abstractmethod
    def assert_complete_once(self, server: Script, package: Path) -> None:
        """One draft, complete, seen by those alone who should, and nothing published."""

    def assert_nobody_is_misled(self, server: Script, fault: Fault) -> None:
        """After a fault, what lies on the server passes for nothing that it is not."""
        assert not server.forbidden

    @classmethod
    def faults(cls) -> list[Fault]:
        """Every fault of every step."""
        return [Fault(step, kind) for step in cls.steps for kind in cls.kinds] + [
            *cls.stored_otherwise
        ]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The faults of this destination's own steps."""
        if "fault" in metafunc.fixturenames:
            quick = [fault for fault in self.faults() if str(fault) in self.quick]
            assert len(quick) == len(self.quick)
            metafunc.parametrize("fault", few_quick(self.faults(), quick), ids=str)

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
        with self.serving(monkeypatch) as script:
            yield script

    def send(self, package: Path) -> submission.Submission:
        """Upload, or go on with it."""
        return publishing.upload(package, self.name, tell=lambda _: None)

    def test_the_dry_run_asks_nobody_and_knows_every_file(self, server, package, monkeypatch):
        monkeypatch.setattr(publishing, "published_score", lambda _: None)
        plan = publishing.dry_run(package, self.name)
        assert not server.asked
        planned = sum(call.size_bytes for call in plan.calls)
        assert planned == sum(file.size_bytes for file in plan.submission.files) > 0
        assert self.send(package).files == tuple(
            submission.SubmittedFile(f.name, f.size_bytes, f.sha256, f.download_weight, stored=True)
            for f in plan.submission.files
        )
        self.assert_complete_once(server, package)

    def test_a_fault_is_told_and_the_same_command_goes_on(self, server, package, caplog, fault):
        caplog.set_level(logging.DEBUG)
        server.faults = [Fault(fault.step, fault.kind)]
        try:
            self.send(package)
        except ZooError as error:
            told = str(error)
            assert "run the same command again" in told
            assert self.token not in told
            self.assert_nobody_is_misled(server, fault)
        else:
            assert str(fault) in self.healed
        server.faults = []
        assert self.send(package).state == "submitted"
        self.assert_complete_once(server, package)
        record = submission.record_path(package, self.name).read_text()
        assert self.token not in record + caplog.text

    @pytest.mark.parametrize("number", few_quick(range(1, 13), (2,)))
    def test_ended_at_any_note_the_next_run_goes_on(self, server, package, monkeypatch, number):
        noted = []
        write = atomic.write_text

        def dies(path: Path, text: str) -> None:
            noted.append(path)
            if len(noted) == number:
                raise KilledError
            write(path, text)

        monkeypatch.setattr(submission, "write_text", dies)
        try:
            self.send(package)
        except KilledError:
            assert len(noted) == number
        else:
            assert 4 < len(noted) < number
        monkeypatch.setattr(submission, "write_text", write)
        self.send(package)
        self.assert_complete_once(server, package)

    @pytest.mark.slow
    def test_sent_twice_it_is_stored_once(self, server, package):
        self.send(package)
        stored = server.functions().count("PUT")
        assert stored
        self.send(package)
        assert server.functions().count("PUT") == stored
        self.assert_complete_once(server, package)

    @pytest.mark.slow
    def test_two_processes_do_not_send_one_package(self, server, package):
        with (
            held(submission.record_path(package, self.name)),
            pytest.raises(InUseError, match="is being written"),
        ):
            self.send(package)
        assert not server.asked

    @pytest.mark.slow
    @pytest.mark.parametrize("text", ['{"schema": 1}', "{", "[]"])
    def test_a_record_that_is_none_of_ours_is_told(self, server, package, text):
        submission.record_path(package, self.name).write_text(text)
        with pytest.raises(ZooError, match="no record of `unifmir publish`"):
            self.send(package)
        assert not server.asked

    def test_without_a_token_it_says_where_one_is_read(self, server, package, monkeypatch):
        variable = DESTINATIONS[self.name].variable
        monkeypatch.delenv(variable)
        with pytest.raises(ZooError, match=variable):
            self.send(package)
        assert not server.asked

    @pytest.mark.slow
    def test_a_record_of_another_server_is_not_gone_on_with(self, server, package, monkeypatch):
        self.send(package)
        monkeypatch.setenv(self.address_variable, "http://127.0.0.1:9")
        asked = len(server.headers)
        with pytest.raises(ZooError, match=r"was begun at .*go on there"):
            self.send(package)
        assert len(server.headers) == asked

    @pytest.mark.slow
    def test_a_record_that_others_wrote_is_not_gone_on_with(self, server, package):
        self.send(package)
        path = submission.record_path(package, self.name)
        path.write_text(json.dumps({**json.loads(path.read_text()), "record": "another"}))
        asked = len(server.headers)
        for act in (self.send, lambda path: publishing.standing(path, self.name)):
            with pytest.raises(ZooError, match="was not written here by you"):
                act(package)
        assert len(server.headers) == asked

    @pytest.mark.slow
    def test_an_option_that_means_nothing_there_is_refused(self, server, package):
        given = {
            "sandbox": SendOptions(sandbox=True),
            "skip_test": SendOptions(skip_test=True),
            "repository": SendOptions(repository="a"),
            "base_model": SendOptions(base_model="a/b"),
        }
        meaningless = given.keys() - DESTINATIONS[self.name].takes
        assert meaningless
        for option in meaningless:
            with pytest.raises(ZooError, match=f"has no --{option.replace('_', '-')}"):
                publishing.dry_run(package, self.name, options=given[option])
        assert not server.asked


class TestBioImageIO(DestinationContract):
    name = "bioimageio"
    token = HYPHA_TOKEN
    address_variable = bioimageio.URL_VARIABLE
    steps = HYPHA_STEPS
    stored_otherwise = (Fault("PUT", "other"), Fault("PUT", "short"), Fault("GET", "other"))
    quick = ("create-unsaid", "put_file-expired", "PUT-short", "edit-unsaid")
    # What the storage answers to a file that it has taken decides nothing.
    healed = (*CREATED_ALL_THE_SAME, "PUT-garbage")

    @contextmanager
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[Hypha]:
        with hypha_serving() as script:
            script.used(patch)
            yield script

    def assert_complete_once(self, server: Script, package: Path) -> None:
        assert isinstance(server, Hypha)
        server.assert_handed_in_once(RDF, FILES)

    def assert_nobody_is_misled(self, server: Script, fault: Fault) -> None:
        assert isinstance(server, Hypha)
        states = {draft["manifest"]["status"] for draft in server.artifacts.values()}
        # An edit whose answer is lost may have been done: the last step, and it is the right one.
        assert states <= ({"draft", "in-review"} if fault.step == "edit" else {"draft"})


class TestZenodo(DestinationContract):
    name = "zenodo"
    token = ZENODO_TOKEN
    address_variable = zenodo.URL_VARIABLE
    steps = ZENODO_STEPS
    stored_otherwise = (Fault("PUT", "other"), Fault("PUT", "short"))
    quick = ("create-cut", "PUT-other", "metadata-expired")

    @contextmanager
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[Deposits]:
        with zenodo_serving() as script:
            script.used(patch)
            yield script

    def assert_complete_once(self, server: Script, package: Path) -> None:
        assert isinstance(server, Deposits)
        server.assert_one_draft(
            {package.name: package.read_bytes(), "README.md": README}, RDF["name"]
        )


# huggingface_hub 2.4 hands its connections bytes in a way that they announce as deprecated.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
class TestHuggingFace(DestinationContract):
    name = "huggingface"
    token = HUB_TOKEN
    address_variable = huggingface.URL_VARIABLE
    steps = HUB_STEPS
    # The library itself waits for a server that says nothing, a minute and more.
    kinds = (*(kind for kind in KINDS if kind != "late"), "expired")
    quick = ("create-unsaid", "commit-expired")
    # The library makes its own attempts at large files, and reads nothing of their answers.
    healed = (
        *(f"create-{kind}" for kind in ("cut", "dropped", "unsaid", "garbage")),
        *(f"PUT-{kind}" for kind in (*KINDS, "short")),
    )

    @contextmanager
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
        pytest.importorskip("huggingface_hub", reason="needs the extra `publish`")
        with huggingface_serving() as script:
            script.used(patch)
            yield script

    def assert_complete_once(self, server: Script, package: Path) -> None:
        assert isinstance(server, Hub)
        server.assert_one_private_repository("ann/UniFMIR-Trial", RDF, FILES)


class TestToyShelf(DestinationContract):
    name = "toy-shelf"
    token = SHELF_TOKEN
    address_variable = SHELF_VARIABLE
    steps = ("create", "read", "PUT")
    quick = ("read-garbage",)

    @contextmanager
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[Shelf]:
        row = DESTINATIONS.extended("toy-shelf", "tests.toys.destination:TOY_SHELF")
        with row, shelf_serving() as script:
            patch.setenv(SHELF_VARIABLE, script.url)
            patch.setenv("TOY_SHELF_TOKEN", SHELF_TOKEN)
            without_waiting(patch)
            yield script

    def assert_complete_once(self, server: Script, package: Path) -> None:
        assert isinstance(server, Shelf)
        assert list(server.books.values()) == [FILES]


def test_every_destination_is_held_to_the_contract():
    held_to = {one.name for one in DestinationContract.__subclasses__()}
    assert held_to == {*DESTINATIONS, "toy-shelf"}
