"""The rule on addresses: which servers are asked."""

import pytest

from unifmir.errors import AddressError, ImageError, ZooError
from unifmir.web_address import (
    OWN_SERVERS_VARIABLE,
    checked_address,
    is_inner,
    names_inner,
    require_meant,
)


@pytest.mark.parametrize(
    "url",
    ["https://zenodo.org/a", "https://10.0.0.1/a", "http://127.0.0.1:9/a", "http://localhost/a"],
)
def test_addresses_that_are_asked(url):
    assert checked_address(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://zenodo.org/a",
        "http://10.0.0.1/a",
        "ftp://zenodo.org/a",
        "file:///etc/passwd",
        "https:///a",
        "https://a b/",
        "https://a\\b/",
        "https://a:99999/",
        "https://[::1/",
        "http://127.0.0.1.example.org/",
        "",
    ],
)
def test_addresses_that_are_not_asked(url):
    with pytest.raises(AddressError, match="cannot be asked for") as refused:
        checked_address(url)
    assert isinstance(refused.value, ZooError)
    assert isinstance(refused.value, ImageError)


def test_a_server_of_the_own_network_is_asked_without_encryption_where_it_is_named(monkeypatch):
    url = "http://omero.lab/a"
    with pytest.raises(AddressError, match=f"{OWN_SERVERS_VARIABLE}=omero.lab"):
        checked_address(url)
    monkeypatch.setenv(OWN_SERVERS_VARIABLE, " OMERO.lab ,other")
    assert checked_address(url) == url
    with pytest.raises(AddressError, match="your own network: refused"):
        checked_address(url, redirected_from="https://zenodo.org/b")


def test_a_redirect_to_this_machine_is_followed_from_this_machine_alone():
    assert checked_address("/b", redirected_from="http://localhost/a") == "http://localhost/b"
    with pytest.raises(AddressError, match="refused"):
        checked_address("http://127.0.0.1/b", redirected_from="https://zenodo.org/a")


@pytest.mark.parametrize(
    ("host", "number", "meant"),
    [
        ("zenodo.org", "188.184.98.114", True),
        ("zenodo.org", "127.0.0.1", False),
        ("zenodo.org", "::1", False),
        ("zenodo.org", "192.168.1.2", False),
        ("zenodo.org", "169.254.169.254", False),
        ("zenodo.org", "::ffff:10.0.0.1", False),
        ("zenodo.org", "fe80::1%eth0", False),
        ("localhost.example.org", "127.0.0.1", False),
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST", "::1", True),
        ("192.168.1.2", "192.168.1.2", True),
        ("::1", "::1", True),
        ("omero.lab", "10.0.0.1", True),
    ],
)
def test_a_name_leads_into_the_own_network_only_where_it_says_so(monkeypatch, host, number, meant):
    monkeypatch.setenv(OWN_SERVERS_VARIABLE, "omero.lab")
    if meant:
        require_meant(host, ["8.8.8.8", number])
    else:
        with pytest.raises(AddressError, match=f"{host} is a machine of your own network"):
            require_meant(host, ["8.8.8.8", number])


def test_numbers_of_the_own_network_are_known():
    assert is_inner("100.64.0.1")
    assert not is_inner("8.8.8.8")
    assert names_inner("https://10.0.0.1/")
    assert not names_inner("https://zenodo.org/")
