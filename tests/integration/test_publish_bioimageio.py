"""A package on its way to the BioImage Model Zoo; what all places keep to is in their contract."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.faulty_server import Fault
from tests.helpers.hypha_server import STEPS, TOKEN, Hypha, hypha_serving
from tests.helpers.publications import FILES, RDF, given_package, publication
from tests.helpers.quick_rows import few_quick
from unifmir.cli.main import app
from unifmir.errors import ZooError
from unifmir.hashing import sha256_of
from unifmir.trusted_files import trust
from unifmir.zoo.publish import bioimageio, publishing, submission
from unifmir.zoo.publish import hypha as hypha_client
from unifmir.zoo.publish.destination import SendOptions


@pytest.fixture
def hypha(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hypha]:
    with hypha_serving() as server:
        server.used(monkeypatch)
        yield server


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given_package(tmp_path, monkeypatch)


def send(package: Path, *, skip_test: bool = False) -> submission.Submission:
    options = SendOptions(skip_test=skip_test)
    return publishing.upload(package, "bioimageio", options=options, tell=lambda _: None)


def record_of(package: Path) -> str:
    return submission.record_path(package, "bioimageio").read_text()


def test_the_draft_is_created_filled_tested_and_handed_to_the_reviewers(hypha, package):
    done = send(package)
    hypha.assert_handed_in_once(RDF, FILES)
    (draft,) = hypha.artifacts.values()
    assert draft["config"]["permissions"] == {"ann": "rw+", "ben": "rw+", "cleo": "rw+"}
    weights = [a["download_weight"] for name, a in hypha.asked if name == "put_file"]
    assert weights == [0, 0, 1]
    assert (done.state, done.report["status"]) == ("submitted", "passed")
    assert all("Authorization" not in one for one in hypha.headers if "X-Amz" in str(one))


def test_the_dry_run_lists_the_calls_that_are_then_made(hypha, package, monkeypatch):
    monkeypatch.setattr(publishing, "published_score", lambda _: None)
    plan = publishing.dry_run(package, "bioimageio")
    assert not hypha.asked
    send(package)
    record = next(iter(hypha.artifacts))
    names = [call.name.removeprefix("model-runner.") for call in plan.calls]
    made = hypha.functions()
    assert made.count("get_test_status") == 2
    made.remove("get_test_status")
    assert made == names
    for call, (name, arguments) in zip(
        [c for c in plan.calls if c.name in ("create", "put_file", "edit", "list_files")],
        [a for a in hypha.asked if a[0] in ("create", "put_file", "edit", "list_files")],
        strict=True,
    ):
        planned = json.loads(json.dumps(call.arguments).replace(_pattern(), record))
        if name == "create":
            planned = json.loads(json.dumps(call.arguments))
            planned["config"]["permissions"] = arguments["config"]["permissions"]
        assert planned == arguments


def _pattern() -> str:
    return f"bioimage-io/{bioimageio.ALIAS}"


@pytest.mark.slow
def test_a_fault_that_passes_is_not_even_told(hypha, package):
    hypha.faults = [Fault(step, "busy", times=1) for step in STEPS]
    hypha.faults += [Fault("PUT", "other", times=1), Fault("PUT", "etag", times=1)]
    assert send(package).state == "submitted"
    hypha.assert_handed_in_once(RDF, FILES)


@pytest.mark.slow
def test_files_that_are_there_are_not_sent_again(hypha, package):
    hypha.faults = [Fault("PUT", "busy", times=0), Fault("test", "busy")]
    with pytest.raises(ZooError, match="run the same command again"):
        send(package)
    assert hypha.functions().count("PUT") == len(FILES)
    hypha.faults = []
    send(package)
    assert hypha.functions().count("PUT") == len(FILES)
    assert hypha.functions().count("create") == 1


@pytest.mark.slow
def test_a_file_that_the_server_lost_is_sent_again(hypha, package):
    hypha.faults = [Fault("test", "busy")]
    with pytest.raises(ZooError):
        send(package)
    record = next(iter(hypha.artifacts))
    hypha.stored[record, "weights.onnx"] = b"short"
    hypha.faults = []
    send(package)
    hypha.assert_handed_in_once(RDF, FILES)


def test_damage_of_the_same_size_between_two_runs_is_found_and_mended(hypha, package):
    hypha.faults = [Fault("test", "busy")]
    with pytest.raises(ZooError):
        send(package)
    hypha.faults = []
    record = next(iter(hypha.artifacts))
    hypha.stored[record, "weights.onnx"] = FILES["weights.onnx"][::-1]
    sent = hypha.functions().count("PUT")
    send(package)
    hypha.assert_handed_in_once(RDF, FILES)
    assert hypha.functions().count("PUT") == sent + 1


def test_what_is_stored_already_is_read_back_by_the_next_run_as_its_plan_says(
    hypha, package, monkeypatch
):
    monkeypatch.setattr(publishing, "published_score", lambda _: None)
    hypha.faults = [Fault("test", "busy")]
    with pytest.raises(ZooError):
        send(package)
    hypha.faults = []
    plan = [call.name for call in publishing.dry_run(package, "bioimageio").calls]
    before = len(hypha.asked)
    send(package)
    made = hypha.functions()[before:]
    for names in (plan, made):
        assert names.count("GET") == names.count("get_file") == len(FILES)
        assert "PUT" not in names


FAILED = {
    "status": "valid-format",
    "details": [
        {"name": "format validation", "status": "passed", "errors": []},
        {
            "name": "Reproduce test outputs (onnx)",
            "status": "failed",
            "errors": [
                {"loc": ["weights", "onnx"], "msg": "Output differs\nby 0.3", "type": "bmz"}
            ],
        },
        "no part",
    ],
}
FAILED_LINES = (
    "the server's test: valid-format",
    "  passed   format validation",
    "  failed   Reproduce test outputs (onnx)",
    "           Output differs by 0.3",
)


def test_a_test_that_fails_is_told_and_keeps_the_draft_from_the_reviewers(hypha, package):
    hypha.result = FAILED
    told: list[str] = []
    with pytest.raises(ZooError, match=r"did not pass \(valid-format\)"):
        publishing.upload(package, "bioimageio", tell=told.append)
    assert tuple(told[-4:]) == FAILED_LINES
    (draft,) = hypha.artifacts.values()
    assert draft["manifest"]["status"] == "draft"
    assert json.loads(record_of(package))["report"] == hypha.result
    status = run(package, "--to", "bioimageio", "--status")[1]
    assert "\n".join(FAILED_LINES) in status
    send(package, skip_test=True)
    hypha.assert_handed_in_once(RDF, FILES)


@pytest.mark.slow
def test_withdrawn_it_is_a_draft_again_and_can_be_handed_in_once_more(hypha, package):
    send(package)
    assert publishing.withdraw(package, "bioimageio").status == "draft"
    assert publishing.standing(package, "bioimageio").files == len(FILES)
    send(package)
    hypha.assert_handed_in_once(RDF, FILES)


def test_another_package_of_the_name_replaces_the_files_of_the_same_draft(
    hypha, package, tmp_path, monkeypatch
):
    hypha.faults = [Fault("test", "busy")]
    with pytest.raises(ZooError):
        send(package)
    hypha.faults = []
    before = next(iter(hypha.artifacts.values()))
    before["manifest"]["reviewed_by"] = "dora"
    files = {"README.md": FILES["README.md"], "weights.onnx": b"better", "cover.png": b"picture"}
    rdf = {key: value for key, value in RDF.items() if key != "git_repo"}
    other = publication(tmp_path, files, rdf)
    monkeypatch.setattr(publishing, "read_publication", lambda _: other)
    sent = hypha.functions().count("PUT")
    send(package)
    (draft,) = hypha.artifacts.values()
    assert hypha.files_of(draft["id"]) == files
    assert hypha.functions().count("PUT") == sent + 2
    assert draft["manifest"] == {**rdf, "status": "in-review", "reviewed_by": "dora"}


@pytest.mark.parametrize("status", few_quick(("published", "accepted"), ("published",)))
def test_what_is_published_is_left_alone(hypha, package, status):
    hypha.faults = [Fault("test", "busy")]
    with pytest.raises(ZooError):
        send(package)
    hypha.faults = []
    (draft,) = hypha.artifacts.values()
    if status == "published":
        draft |= {"staging": None, "versions": ["v0"]}
    draft["manifest"] = {**RDF, "status": status}
    edits = hypha.functions().count("edit")
    for act in (send, lambda path: publishing.withdraw(path, "bioimageio")):
        with pytest.raises(ZooError, match="nothing was changed"):
            act(package)
    assert hypha.functions().count("edit") == edits
    assert not hypha.forbidden


def test_two_drafts_of_one_request_are_told(hypha, package):
    hypha.faults = [Fault("create", "unsaid"), Fault("list", "busy")]
    with pytest.raises(ZooError):
        send(package)
    hypha.faults = []
    (draft,) = hypha.artifacts.values()
    hypha.artifacts["bioimage-io/twin"] = {**draft, "id": "bioimage-io/twin"}
    with pytest.raises(ZooError, match="made 2 drafts"):
        send(package)


def test_no_name_is_left(hypha, package):
    hypha.names = iter(())
    with pytest.raises(ZooError, match="unique alias"):
        send(package)
    assert not hypha.artifacts


def test_a_record_that_came_with_the_package_is_not_gone_on_with(hypha, package):
    send(package)
    path = submission.record_path(package, "bioimageio")
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "server": "http://127.0.0.1:9", "record": "me/other"}))
    asked = len(hypha.headers)
    with pytest.raises(ZooError, match="was not written here by you"):
        send(package)
    trust(sha256_of(path))  # and even then the token goes to its own server alone
    with pytest.raises(ZooError, match="your token is for BioImage Model Zoo at"):
        publishing.standing(package, "bioimageio")
    path.write_text(json.dumps({**values, "signature": ""}))
    trust(sha256_of(path))
    assert len(hypha.headers) == asked
    assert publishing.standing(package, "bioimageio").status == "in-review"


def test_without_a_token_and_a_terminal_it_says_how_to_have_one(hypha, package, monkeypatch):
    monkeypatch.delenv("HYPHA_TOKEN")
    with pytest.raises(ZooError, match="HYPHA_TOKEN"):
        send(package)
    assert not hypha.asked


@pytest.fixture
def at_a_terminal(hypha, monkeypatch) -> list[str]:
    """Lines that somebody without a token is shown, who may log in."""
    monkeypatch.delenv("HYPHA_TOKEN")
    monkeypatch.setattr(hypha_client, "LOGIN_POLL_S", 0.0)
    return []


def send_after_login(package: Path, shown: list[str]) -> submission.Submission:
    return publishing.upload(package, "bioimageio", tell=lambda _: None, show=shown.append)


def test_who_logs_in_gets_the_token_that_everything_else_is_asked_with(
    hypha, package, at_a_terminal
):
    assert send_after_login(package, at_a_terminal).state == "submitted"
    (line,) = at_a_terminal
    assert f"within 5 minutes: {hypha.url}/public/apps/hypha-login/?key=login-0" in line
    assert hypha.functions()[:4] == ["start", "check", "check", "read"]
    hypha.assert_handed_in_once(RDF, FILES)
    assert TOKEN not in line + record_of(package)


def test_a_login_that_the_server_refuses_is_told(hypha, package, at_a_terminal):
    def lose(line: str) -> None:
        at_a_terminal.append(line)
        hypha.logins.clear()

    with pytest.raises(ZooError, match="Invalid key"):
        publishing.upload(package, "bioimageio", tell=lambda _: None, show=lose)
    assert hypha.functions() == ["start", "check"]
    assert not hypha.artifacts


def test_a_login_that_nobody_makes_ends(hypha, package, at_a_terminal, monkeypatch):
    hypha.logged_in_at = 0
    monkeypatch.setattr(hypha_client, "LOGIN_S", 0.3)
    with pytest.raises(ZooError, match=r"nobody logged in within 0\.005 minutes; try again"):
        send_after_login(package, at_a_terminal)
    assert hypha.logins["login-0"] > 1
    assert not hypha.artifacts


def run(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["publish", *map(str, arguments)])
    return found.exit_code, found.output


def test_the_command_sends_tells_how_it_stands_and_takes_back(hypha, package):
    code, text = run(package, "--to", "bioimageio", "--upload")
    assert code == 0
    assert "submitted at bioimageio, 3 files stored" in text
    assert "the server's test: passed\n  passed   bioimageio.spec format validation" in text
    assert "  passed   Reproduce test outputs (onnx)" in text
    assert (
        "bioimage-io/able-ant: in-review, 3 files"
        in run(package, "--to", "bioimageio", "--status")[1]
    )
    assert "bioimage-io/able-ant: draft" in run(package, "--to", "bioimageio", "--withdraw")[1]
    assert_text_without_token(text, package)


def assert_text_without_token(text: str, package: Path) -> None:
    files = [path for path in package.parent.rglob("*") if path.is_file()]
    assert all(TOKEN.encode() not in path.read_bytes() for path in files)
    assert TOKEN not in text


def test_the_command_asks_for_one_thing_at_a_time(package):
    found = CliRunner().invoke(
        app, ["publish", str(package), "--to", "bioimageio", "--upload", "--status"]
    )
    assert isinstance(found.exception, ZooError) or found.exit_code == 2


SENDS = """
import sys
from pathlib import Path
from tests.helpers.publications import publication
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.publish import bioimageio, publishing
transfer.BACKOFF_S = bioimageio.POLL_S = 0.0
made = publication(Path(sys.argv[1]))
publishing.read_publication = lambda _: made
publishing.upload(made.path, "bioimageio", tell=lambda line: print(line, flush=True))
"""


def sending(folder: Path, hypha: Hypha) -> tuple[int, str]:
    """Publish in a process of its own; its exit status and what it said."""
    command = [sys.executable, "-c", SENDS, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        hypha.victim = process.pid
        said, _ = process.communicate()
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    # tests/contract/test_destinations.py ends a run at each note, in its own process.
    [
        pytest.param(step, marks=() if step in (STEPS[0], "PUT") else pytest.mark.long)
        for step in STEPS
    ],
)
def test_killed_at_any_step_the_next_run_goes_on(hypha, tmp_path, step):
    hypha.faults = [Fault(step, "kill", times=1)]
    status, said = sending(tmp_path, hypha)
    assert status == -signal.SIGKILL
    status, then = sending(tmp_path, hypha)
    assert status == 0, then
    hypha.assert_handed_in_once(RDF, FILES)
    assert TOKEN not in said + then
