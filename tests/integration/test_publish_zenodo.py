"""A package on its way to a draft on Zenodo; what all places keep to is in their contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.publications import README, given_package
from tests.helpers.zenodo_server import TOKEN, Deposits, zenodo_serving
from unifmir.cli.main import app
from unifmir.errors import ZooError
from unifmir.zoo.publish import publishing, submission
from unifmir.zoo.publish.destination import SendOptions


@pytest.fixture
def deposits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deposits]:
    with zenodo_serving() as server:
        server.used(monkeypatch)
        yield server


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given_package(tmp_path, monkeypatch)


def send(package: Path) -> submission.Submission:
    return publishing.upload(package, "zenodo", tell=lambda _: None)


def test_a_draft_with_a_reserved_doi_is_left_for_the_user_to_publish(deposits, package):
    plan = publishing.dry_run(package, "zenodo")
    assert not deposits.asked
    done = send(package)
    deposits.assert_one_draft(
        {package.name: package.read_bytes(), "README.md": README}, "UniFMIR Trial"
    )
    assert done.doi == "10.5072/zenodo.100"
    assert done.link.endswith("/deposit/100")
    steps = [call.name.split()[0] for call in plan.calls]
    assert steps == ["POST", "GET", "GET", "PUT", "PUT", "GET", "PUT"]
    assert deposits.functions() == ["create", "read", "files", "PUT", "PUT", "files", "metadata"]
    assert publishing.standing(package, "zenodo").status == "draft"


@pytest.mark.slow
def test_what_is_published_is_left_alone(deposits, package):
    send(package)
    deposits.drafts[100]["submitted"] = True
    with pytest.raises(ZooError, match="is published on Zenodo: nothing was changed"):
        send(package)
    assert publishing.standing(package, "zenodo").status == "published"


@pytest.mark.slow
def test_a_bucket_elsewhere_gets_no_token(deposits, package, monkeypatch):
    shown = Deposits.shown

    def lying(self: Deposits, number: int) -> dict[str, object]:
        found = shown(self, number)
        return {**found, "links": {**found["links"], "bucket": "http://127.0.0.2:1/api/files/1"}}

    monkeypatch.setattr(Deposits, "shown", lying)
    with pytest.raises(ZooError, match="another server: the token is not sent there"):
        send(package)


def test_the_sandbox_is_another_server_with_a_token_of_its_own(package, monkeypatch):
    monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
    monkeypatch.delenv("ZENODO_SANDBOX_TOKEN", raising=False)
    plan = publishing.dry_run(package, "zenodo", options=SendOptions(sandbox=True))
    assert plan.submission.server == "https://sandbox.zenodo.org"
    with pytest.raises(ZooError, match="ZENODO_SANDBOX_TOKEN"):
        publishing.upload(package, "zenodo", options=SendOptions(sandbox=True), tell=lambda _: None)


def test_the_command_says_where_the_draft_is(deposits, package):
    found = CliRunner().invoke(app, ["publish", str(package), "--to", "zenodo", "--upload"])
    assert found.exit_code == 0
    assert f"link: {deposits.url}/deposit/100" in found.output
    assert "doi: 10.5072/zenodo.100" in found.output
    assert TOKEN not in found.output
