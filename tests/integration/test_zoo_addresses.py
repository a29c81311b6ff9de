"""Addresses that models are pulled from: which ones are asked, with what, and what is told."""

import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.helpers.listeners import Names, listening
from tests.helpers.zoo_server import PLANARIA, Reply, serving
from unifmir import web_address
from unifmir.errors import AddressError, ZooError
from unifmir.web_address import OWN_SERVERS_VARIABLE
from unifmir.zoo.catalogue import connection, directories, transfer
from unifmir.zoo.catalogue.index import find
from unifmir.zoo.catalogue.pull import local_file
from unifmir.zoo.catalogue.schema import ZooEntry, parse_entry
from unifmir.zoo.catalogue.servers import ZENODO_VARIABLE

BIG = bytes(range(256)) * 1_000
"""256 kB: some pieces of a transfer."""


@pytest.fixture
def entry() -> ZooEntry:
    """A packaged model whose file is on Zenodo."""
    return find(PLANARIA)


def test_no_network_is_said(server, entry, monkeypatch):
    # Port 9 is the discard service, which nothing runs.
    monkeypatch.setenv(ZENODO_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(
        ZooError, match=r"cannot be reached \(is there a network\?\), 5 times"
    ) as told:
        local_file(entry)
    assert f"give it with `unifmir zoo add --from {PLANARIA} --file FILE`" in str(told.value)


def test_an_address_that_is_none_is_said(server, entry, monkeypatch):
    server.record({"model_best.pt": BIG})
    local_file(entry)
    for named in ("zenodo.org", "file:///tmp", "ftp://zenodo.org", "http://zenodo.org", "https://"):
        monkeypatch.setenv(ZENODO_VARIABLE, named)
        with pytest.raises(ZooError, match=f"{ZENODO_VARIABLE}: .*cannot be asked for"):
            local_file(entry)


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate for this machine that nobody vouches for, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl that makes a certificate")
    made = Path(tmp_path / "certificate.pem")
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", made, "-out", tmp_path / "c"]
    subprocess.run(command, check=True, capture_output=True)
    made.write_bytes(made.read_bytes() + (tmp_path / "c").read_bytes())
    return made


def test_a_certificate_is_refused_unless_somebody_vouches_for_it(
    server, entry, certificate, monkeypatch
):
    encryption = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encryption.load_cert_chain(certificate)
    with serving(encryption) as encrypted:
        monkeypatch.setenv(ZENODO_VARIABLE, encrypted.url)
        encrypted.record({"model_best.pt": BIG})
        with pytest.raises(ZooError, match=r"certificate is refused \(self.*REQUESTS_CA_BUNDLE"):
            local_file(entry)
        assert not encrypted.asked
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert local_file(entry).read_bytes() == BIG


def test_passwords_and_tokens_of_addresses_are_used_and_never_shown(
    server, entry, caplog, monkeypatch
):
    caplog.set_level("DEBUG")
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    path = "/a.safetensors?token=s3cret"
    server.replies[path] = Reply(BIG, failures=[500, 500])
    url = server.url.replace("://", "://me:pa55@") + path
    document = entry.model_dump(mode="json") | {"source": {"kind": "url", "url": url}}
    hidden = parse_entry(json.dumps(document), "x")
    with pytest.raises(ZooError, match=r"token=\*\*\*: the server answered 500") as caught:
        local_file(hidden)
    local_file(hidden)
    assert {h.get("Authorization") for p, h in server.asked if p == path} == {"Basic bWU6cGE1NQ=="}
    kept = [p.read_text() for p in directories.home().rglob("*.json")]
    for text in (str(caught.value), caplog.text, *kept):
        assert "pa55" not in text
        assert "s3cret" not in text


def test_a_netrc_file_gives_no_password_away(server, entry, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pa55\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.record({"model_best.pt": BIG})
    local_file(entry)
    assert not [headers for _, headers in server.asked if "Authorization" in headers]


def test_a_name_that_leads_into_the_own_network_is_refused_unless_it_is_named(
    server, entry, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "*")
    Names(monkeypatch, {"mirror.example": ["127.0.0.1"]})
    with listening("127.0.0.1") as inside:
        monkeypatch.setenv(ZENODO_VARIABLE, f"https://mirror.example:{inside.port}")
        with pytest.raises(AddressError, match=r"mirror\.example is a machine of your own network"):
            local_file(entry)
    assert inside.connections == 0
    monkeypatch.setenv(OWN_SERVERS_VARIABLE, "mirror.example")
    monkeypatch.setenv(ZENODO_VARIABLE, server.url.replace("127.0.0.1", "mirror.example"))
    server.record({"model_best.pt": BIG})
    assert local_file(entry).read_bytes() == BIG


def test_a_name_that_stands_for_another_machine_once_it_was_looked_at_is_told_nothing(
    server, entry, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "*")
    Names(monkeypatch, {"rebound.example": ["127.0.0.1"]})
    monkeypatch.setattr(connection, "numbers_of", lambda _: {"203.0.113.7"})
    monkeypatch.setattr(web_address, "is_inner", lambda one: one.startswith("127."))
    with listening("127.0.0.1") as inside:
        monkeypatch.setenv(ZENODO_VARIABLE, f"https://rebound.example:{inside.port}")
        with pytest.raises(AddressError, match="machine of your own network"):
            local_file(entry)
    assert inside.received == b""
