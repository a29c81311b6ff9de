"""A package on its way to a private repository; what all places keep to is in their contract."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.huggingface_server import TOKEN, Hub, Repository, huggingface_serving
from tests.helpers.listeners import Names, listening
from tests.helpers.publications import FILES, RDF, given_package
from unifmir.errors import AddressError, MissingExtraError, ZooError
from unifmir.zoo.publish import hub_session, publishing, submission
from unifmir.zoo.publish.destination import SendOptions

# huggingface_hub 2.4 hands its connections bytes in a way that they announce as deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "ann/UniFMIR-Trial"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="needs the extra `publish`")
    with huggingface_serving() as server:
        server.used(monkeypatch)
        yield server


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given_package(tmp_path, monkeypatch)


def send(package: Path, options: SendOptions = publishing.PLAIN) -> submission.Submission:
    return publishing.upload(package, "huggingface", options=options, tell=lambda _: None)


def test_a_private_repository_gets_the_files_and_the_card_in_one_commit(hub, package):
    done = send(package, SendOptions(base_model="bo/parent"))
    hub.assert_one_private_repository(NAME, RDF, FILES)
    assert hub.repositories[NAME].commits == 2
    assert 'base_model: "bo/parent"' in hub.repositories[NAME].files["README.md"].decode()
    assert (done.state, done.link) == ("submitted", f"{hub.url}/{NAME}")
    assert publishing.standing(package, "huggingface").status == "private"


@pytest.mark.slow
def test_sent_again_it_makes_no_commit(hub, package):
    send(package)
    send(package)
    assert hub.repositories[NAME].commits == 2


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


@pytest.mark.parametrize("place", ["hub.example", "storage.example"])
def test_a_name_that_stands_for_another_machine_once_it_was_looked_at_is_told_nothing(
    monkeypatch, place
):
    pytest.importorskip("huggingface_hub", reason="needs the extra `publish`")
    from huggingface_hub import get_session

    monkeypatch.setenv("NO_PROXY", "*")
    # Out there when they are looked at, here when they are connected to.
    monkeypatch.setattr(hub_session, "is_in_here", lambda _: False)
    Names(monkeypatch, {"hub.example": ["127.0.0.1"], "storage.example": ["127.0.0.1"]})
    with (
        listening("127.0.0.1") as inside,
        hub_session.held_session("https://hub.example"),
        pytest.raises(AddressError, match="your own network"),
    ):
        get_session().get(f"https://{place}:{inside.port}/a")
    assert inside.received == b""
