"""Requests that a server refuses: too large, too slow, from elsewhere, without the password."""

import base64
import json
import socket
import stat
import time
from urllib.parse import urlsplit

import pytest

from tests.helpers.running_server import Caller, running
from unifmir.zoo.serve import request_guard
from unifmir.zoo.serve.request_guard import COOKIE
from unifmir.zoo.serve.sign_in import COOKIE as SIGNED_IN
from unifmir.zoo.serve.uploads import display_name

LIMIT = 200_000
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that takes small files, quickly sent."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("serve")
        with running(folder, patch, upload_bytes=LIMIT, silence_s=0.4) as address:
            yield address, folder


@pytest.fixture
def caller(server):
    """A new session."""
    with Caller(server[0]) as one:
        yield one


def kept(server) -> list[str]:
    """Everything in the folder of jobs."""
    return sorted(path.name for path in (server[1] / "jobs").iterdir())


def form(image: bytes, settings: str = '{"task": "sr"}') -> bytes:
    """A form, with the boundary B."""
    return (
        b'--B\r\ncontent-disposition: form-data; name="settings"\r\n\r\n'
        + settings.encode()
        + b'\r\n--B\r\ncontent-disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
        + image
        + b"\r\n--B--\r\n"
    )


def sent(address: str, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """Send a request as it is, piece by piece, and read what comes back."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(every_s)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and answer.endswith(b"}"):
                    break
        except OSError:
            pass
        return answer


def head(length: int) -> bytes:
    """The head of an upload."""
    return (
        b"POST /api/restore HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        b"content-type: multipart/form-data; boundary=B\r\n"
        + f"content-length: {length}\r\n\r\n".encode()
    )


def test_a_file_over_the_limit_is_refused_before_it_is_sent(server):
    before = kept(server)
    assert b" 413 " in sent(server[0], head(10**12)).partition(b"\r\n")[0]
    assert kept(server) == before


def test_a_file_over_the_limit_is_refused_in_the_middle_of_a_stream(server):
    start = (
        head(0).replace(b"content-length: 0", b"transfer-encoding: chunked") + b"186a0\r\n"
    )  # 100,000 bytes
    before = kept(server)
    # The form's own bytes count: the first piece of three has them.
    first = form(b"")[: form(b"").index(b"\r\n--B--")].ljust(100_000, b"x")
    more = b"\r\n186a0\r\n" + b"x" * 100_000
    answer = sent(server[0], start + first, *[more] * 3)
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert b"more than the 0 MB" in answer
    assert kept(server) == before


def test_an_upload_that_falls_silent_or_creeps_is_refused(server):
    before = kept(server)
    body = form(b"x" * 1000)
    assert b" 408 " in sent(server[0], head(len(body)), body[:500], every_s=0.6)
    creeping = [body[n : n + 20] for n in range(0, 200, 20)]
    assert b" 408 " in sent(server[0], head(len(body)), *creeping, every_s=0.1)
    assert kept(server) == before


def test_an_upload_that_is_broken_off_leaves_nothing(server):
    before = kept(server)
    place = urlsplit(server[0])
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head(100_000) + form(b"x" * 50_000)[:40_000])
        time.sleep(0.1)
    time.sleep(0.6)
    assert kept(server) == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"task": "sr", "out": "/etc/passwd"}, "RestoreSettings.out"),
        ({"task": "sr", "device": "cuda"}, "RestoreSettings.device"),
        ({"task": "sr", "model": "/etc/passwd"}, "unknown zoo model"),
        ({"task": "sr", "tile": -1}, "RestoreSettings.tile"),
        ({"task": "sr", "tile": True}, "RestoreSettings.tile"),
        ({"task": "deblur"}, "unknown task"),
        ({}, "RestoreSettings.task"),
        ({"task": "sr", "runtime": "fortran"}, "unknown runtime"),
        ({"task": "sr", "axes": "yq"}, "axes"),
        ({"task": "sr", "pixel_size": 0}, "pixel_size_um"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_their_name(caller, settings, told):
    answer = caller.post(
        "/api/restore", files={"image": ("a.tif", b"x"), "settings": (None, json.dumps(settings))}
    )
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


def test_forms_that_are_none_are_refused(server, caller):
    assert caller.post("/api/restore", data=b"x").status_code == 415
    assert caller.restore(b"x", "a.exe").status_code == 415
    assert caller.restore(b"").status_code == 400
    assert caller.post("/api/restore", files={"picture": ("a.tif", b"x")}).status_code == 400
    cut = form(b"x")[:-10]
    assert b" 400 " in sent(server[0], head(len(cut)), cut).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/cron.d/a.tif", "a.tif"),
        ("C:\\Users\\a.tif", "a.tif"),
        ("..", ""),
        ("/", ""),
        (".hidden.tif", "hidden.tif"),
        ("a\x00b\n\u202e.tif", "ab.tif"),
        ("x" * 300 + ".ome.tif", "x" * 192 + ".ome.tif"),
    ],
)
def test_names_are_never_paths(given, shown):
    assert display_name(given) == shown


def test_files_lie_where_nobody_else_looks(server, caller):
    name = caller.given(b"tiles 1", "../../../evil.tif")
    caller.waited(name)
    folder = server[1] / "jobs" / name
    assert {path.name for path in folder.iterdir()} >= {"image.tif", "job.json", "result.tif"}
    for place in (server[1], server[1] / "jobs", folder):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    # Who reads the record cannot take the session's place.
    assert caller.cookies[COOKIE] not in (folder / "job.json").read_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 421),
        ({"sec-fetch-site": "same-origin"}, 202),
        ({}, 202),
    ],
)
def test_requests_of_other_sites_are_refused(caller, headers, status):
    files = {"image": ("a.tif", b"x"), "settings": (None, '{"task": "sr"}')}
    assert caller.post("/api/restore", files=files, headers=headers).status_code == status


def test_the_own_origin_is_taken(caller, server):
    files = {"image": ("a.tif", b"x"), "settings": (None, '{"task": "sr"}')}
    assert caller.post("/api/restore", files=files, headers={"origin": server[0]}).ok


def test_a_link_from_elsewhere_does_not_end_the_session(server, caller):
    answer = caller.get("/api/about", headers={"sec-fetch-site": "cross-site"})
    assert "set-cookie" not in answer.headers


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_have(caller):
    first = caller.get("/api/about")
    told = first.headers["set-cookie"]
    assert len(caller.cookies[COOKIE]) == 43
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(told.split("; "))
    assert "set-cookie" not in caller.get("/api/about").headers
    caller.cookies.clear()
    guessed = caller.get("/api/about", headers={"cookie": f"{COOKIE}=a"})
    assert guessed.headers["set-cookie"] != told


def test_every_answer_has_the_headers_of_security(caller):
    for path in ("/", "/api/about", "/api/jobs", "/nothing"):
        headers = caller.get(path).headers
        assert "script-src 'self' 'wasm-unsafe-eval'" in headers["content-security-policy"]
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["x-content-type-options"] == "nosniff"
    assert caller.get("/api/jobs").headers["cache-control"] == "no-store"


def test_a_password_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(request_guard, "WRONG_PASSWORD_S", 0.0)
    basic = base64.b64encode(f"anyone:{PASSWORD}".encode()).decode()
    with running(tmp_path / "f", monkeypatch, password=PASSWORD) as address:
        caller = Caller(address)
        answer = caller.get("/api/jobs")
        assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")
        # The page asks by itself: a browser need not.
        fetched = caller.get("/api/jobs", headers={"sec-fetch-mode": "cors"})
        assert (fetched.status_code, "www-authenticate" in fetched.headers) == (401, False)
        for wrong in ("Bearer x", f"Basic {base64.b64encode(b'a:b').decode()}", "Basic %", "", "x"):
            assert caller.get("/api/about", headers={"authorization": wrong}).status_code == 401
        for right in (f"Bearer {PASSWORD}", f"Basic {basic}"):
            assert caller.get("/api/about", headers={"authorization": right}).status_code == 200
        assert caller.get("/").status_code == 503  # no page here, which nobody has to sign in for


def test_who_signed_in_once_need_not_again_and_nobody_else_is_in(tmp_path, monkeypatch):
    monkeypatch.setattr(request_guard, "WRONG_PASSWORD_S", 0.0)
    told = {"authorization": f"Bearer {PASSWORD}".encode()}
    folder = tmp_path / "f"
    with running(folder, monkeypatch, password=PASSWORD) as address:
        caller, other = Caller(address), Caller(address)
        assert caller.post("/api/sign-in").status_code == 401
        assert caller.post("/api/sign-in", headers={"authorization": "Bearer x"}).status_code == 401
        assert caller.get("/api/jobs").status_code == 401
        answer = caller.post("/api/sign-in", headers=told)
        assert answer.status_code == 204
        assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["set-cookie"].split("; "))
        assert caller.get("/api/jobs").status_code == 200
        # A wrong password is wrong also beside the cookie.
        assert caller.get("/api/jobs", headers={"authorization": "Bearer x"}).status_code == 401
        other.get("/")
        other.cookies[SIGNED_IN] = caller.cookies[SIGNED_IN]
        assert other.get("/api/jobs").status_code == 401
    kept = caller.cookies
    with running(folder, monkeypatch, password=PASSWORD) as address:
        assert Caller(address).get("/api/jobs", cookies=kept).status_code == 200
    with running(folder, monkeypatch, password=f"{PASSWORD} 2") as address:
        assert Caller(address).get("/api/jobs", cookies=kept).status_code == 401
    assert stat.S_IMODE((folder / "sign-in.key").stat().st_mode) == 0o600


def test_a_password_may_have_any_letters(tmp_path, monkeypatch):
    password = "grün wie Gras 7"
    basic = base64.b64encode(f":{password}".encode())
    with running(tmp_path / "f", monkeypatch, password=password) as address:
        for value in (b"Basic " + basic, b"Bearer " + password.encode()):
            headers = {"authorization": value}
            assert Caller(address).get("/api/jobs", headers=headers).status_code == 200


def test_the_built_page_is_served_and_nothing_beside_it(tmp_path, monkeypatch):
    page = tmp_path / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>page")
    (page / "assets" / "a-1234.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    with running(tmp_path / "f", monkeypatch, page=page) as address:
        caller = Caller(address)
        assert caller.get("/").text == "<!doctype html>page"
        assert caller.get("/").headers["cache-control"] == "no-cache"
        assert "immutable" in caller.get("/assets/a-1234.js").headers["cache-control"]
        answer = sent(
            address, b"GET /../secret HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        )
        assert b" 404 " in answer.partition(b"\r\n")[0]
        assert caller.get("/%2e%2e/secret").status_code == 404
        assert caller.get("/api/docs").status_code == 200


def test_without_a_page_it_says_how_to_build_one(caller):
    answer = caller.get("/")
    assert (answer.status_code, "make web" in answer.text) == (503, True)


def test_the_api_says_itself_without_anything_from_elsewhere(caller):
    document = caller.get("/api/openapi.json").json()
    assert {
        "/api/restore",
        "/api/jobs/{job_id}/events",
        "/api/jobs/{job_id}/result",
    } <= set(document["paths"])
    assert (
        "multipart/form-data" in document["paths"]["/api/restore"]["post"]["requestBody"]["content"]
    )
    text = caller.get("/api/docs").text
    assert "POST /api/restore" in text
    assert "://" not in text


def test_facts_are_told(caller):
    about = caller.get("/api/about").json()
    assert about["limits"]["upload_bytes"] == LIMIT
    assert len(about["tasks"]) == 5
    first = caller.get("/api/models").json()[0]
    assert (first["id"], first["embedded"], first["available"]) == ("unifmir-small-sim", True, True)
    assert caller.get("/api/models/unifmir-small-sim").json()["configuration"]["body"]
    assert caller.get("/api/models/nothing").status_code == 404
    samples = caller.get("/api/samples").json()
    assert [row["task"] for row in samples] == [row["name"] for row in about["tasks"]]
    assert {row["task"]: row["settings"] for row in samples if row["settings"]} == {
        "isotropic": {"z_factor": 1.0}
    }
    answer = caller.get("/api/samples/sr")
    assert (answer.headers["content-type"], answer.content[:2]) == ("image/tiff", b"II")
    assert caller.get("/api/samples/nothing").status_code == 404
    assert caller.get("/api/benchmarks").json()[0]["rows"]
