"""A package on its way to a private repository at Hugging Face, whatever the server does."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faulty_server import KINDS, Fault
from tests.helpers.huggingface_server import TOKEN, Hub, Repository, huggingface_serving
from tests.helpers.publications import FILES, RDF, given_package
from tests.helpers.quick_rows import few_quick
from unifmir.errors import MissingExtraError, ZooError
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.publish import huggingface, publishing, submission
from unifmir.zoo.publish.destination import SendOptions

# huggingface_hub 2.4 hands its connections bytes in a way that they announce as deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "ann/UniFMIR-Trial"
STEPS = ("whoami", "create", "info", "tree", "preupload", "batch", "PUT", "commit")
# The library itself waits for a server that says nothing, a minute and more.
SENT = [kind for kind in KINDS if kind != "late"]
ALL = [Fault(step, kind) for step in STEPS for kind in (*SENT, "expired")] + [Fault("PUT", "short")]
QUICK = [fault for fault in ALL if str(fault) in ("create-unsaid", "commit-expired")]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="needs the extra `publish`")
    with huggingface_serving() as server:
        # Before 2.0 the library reads addresses in answers by this one.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setenv(huggingface.URL_VARIABLE, server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(transfer, "BACKOFF_S", 0.0)
        monkeypatch.setattr(transfer, "ATTEMPTS", 2)
        monkeypatch.setattr("time.sleep", lambda _: None)  # between the library's own attempts
        yield server


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given_package(tmp_path, monkeypatch)


def send(package: Path, options: SendOptions = publishing.PLAIN) -> submission.Submission:
    return publishing.upload(package, "huggingface", options=options, tell=lambda _: None)


def assert_one_private_repository(hub: Hub) -> None:
    """The package's files and the card, seen by their owner alone."""
    assert list(hub.repositories) == [NAME]
    files = dict(hub.repositories[NAME].files)
    assert hub.repositories[NAME].private
    assert not hub.forbidden
    assert files.pop(".gitattributes") == b""
    card = files.pop("README.md").decode()
    assert files == {name: data for name, data in FILES.items() if name != "README.md"}
    assert card.startswith("---\nlicense: ")
    assert RDF["description"] in card
    assert FILES["README.md"].decode() in card


def test_a_private_repository_gets_the_files_and_the_card_in_one_commit(hub, package):
    done = send(package, SendOptions(base_model="bo/parent"))
    assert_one_private_repository(hub)
    assert hub.repositories[NAME].commits == 2
    assert 'base_model: "bo/parent"' in hub.repositories[NAME].files["README.md"].decode()
    assert (done.state, done.link) == ("submitted", f"{hub.url}/{NAME}")
    assert publishing.standing(package, "huggingface").status == "private"


@pytest.mark.slow
def test_sent_again_it_makes_no_commit(hub, package):
    send(package)
    send(package)
    assert hub.repositories[NAME].commits == 2


@pytest.mark.parametrize("fault", few_quick(ALL, QUICK), ids=str)
def test_a_fault_is_told_and_the_same_command_goes_on(hub, package, caplog, fault):
    caplog.set_level(logging.DEBUG)
    hub.faults = [Fault(fault.step, fault.kind)]
    try:
        send(package)
    except ZooError as error:
        told = str(error)
        assert "run the same command again" in told
        assert TOKEN not in told
    else:
        assert fault.step in ("create", "PUT")
    hub.faults = []
    assert send(package).state == "submitted"
    assert_one_private_repository(hub)
    assert TOKEN not in submission.record_path(package, "huggingface").read_text()
    assert TOKEN not in caplog.text


@pytest.mark.slow
def test_a_repository_that_was_there_is_left_alone(hub, package):
    hub.repositories[NAME] = Repository(private=True, files={"model.bin": b"mine"})
    with pytest.raises(ZooError, match="--repository NAME"):
        send(package)
    assert hub.repositories[NAME].files == {"model.bin": b"mine"}


@pytest.mark.slow
def test_a_repository_that_is_public_by_now_is_left_alone(hub, package):
    send(package)
    hub.repositories[NAME].private = False
    with pytest.raises(ZooError, match="is public on Hugging Face: nothing was changed"):
        send(package)
    assert hub.repositories[NAME].commits == 2


@pytest.mark.slow
def test_the_library_reads_the_card_as_it_is_meant(hub, package):
    library = pytest.importorskip("huggingface_hub", reason="needs the extra `publish`")
    send(package)
    card = library.ModelCard(hub.repositories[NAME].files["README.md"].decode())
    assert card.data.license == RDF["license"].lower()
    assert card.data.tags == [*RDF["tags"], "bioimage.io"]
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("psnr", 40.25)


def test_the_dry_run_needs_no_library(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    plan = publishing.dry_run(package, "huggingface")
    names = [call.name for call in plan.calls]
    assert names[:2] == ["whoami", "create_repo"]
    assert plan.calls[1].arguments["private"] is True
    with pytest.raises(MissingExtraError, match=r"unifmir\[publish\]"):
        send(package)
    with pytest.raises(ZooError, match="no --sandbox"):
        send(package, SendOptions(sandbox=True))
