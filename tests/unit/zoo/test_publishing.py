"""Tokens, addresses and records of publishing, without a server."""

import pytest

from unifmir import web_address
from unifmir.errors import ZooError
from unifmir.zoo.catalogue import connection
from unifmir.zoo.publish import bioimageio, web_service
from unifmir.zoo.publish.access_token import Token
from unifmir.zoo.publish.destination import SendOptions

SECRET = "a-secret-of-some-length"


@pytest.mark.parametrize("secret", ["to ken-that-is-two", "short", "line\nbreak-in-the-middle"])
def test_what_is_no_token_is_refused_without_telling_it(monkeypatch, secret):
    monkeypatch.setenv("HYPHA_TOKEN", secret)
    with pytest.raises(ZooError, match="holds no token") as refused:
        bioimageio.BIOIMAGEIO.token(SendOptions(), None)
    assert secret not in str(refused.value)


def test_a_token_shows_itself_nowhere():
    token = Token(SECRET, "a test")
    assert SECRET not in f"{token!r} {token} {vars(type(token))}"
    assert token.left_out(f"bad {SECRET}") == "bad ***"


def test_a_storage_in_the_users_own_network_is_refused():
    service = web_service.WebService("zoo", "https://hypha.example", None, "")
    for place in ("http://127.0.0.1/s3", "https://10.0.0.1/s3", "ftp://hypha.example/s3", None):
        with pytest.raises(ZooError, match=r"refused|cannot be asked|named no address"):
            service.checked_place(place)


def test_a_name_of_a_storage_that_is_in_the_users_own_network_is_refused(monkeypatch):
    found = {"hypha.example": "203.0.113.1", "s3.example": "10.0.0.1"}
    monkeypatch.setattr(connection, "numbers_of", lambda host: {found[host]})
    monkeypatch.setattr(web_address, "is_inner", lambda one: one.startswith("10."))
    monkeypatch.setenv("NO_PROXY", "*")
    service = web_service.WebService("zoo", "https://hypha.example", None, "")
    for ask in (
        lambda: service.put_file("https://s3.example/a", b"a", {}),
        lambda: service.sha256_at("https://s3.example/a", 1),
    ):
        with pytest.raises(ZooError, match=r"hypha\.example sends us to .*your own network"):
            ask()
