"""Jobs of a server from upload to deletion; their processes are stand-ins."""

import hashlib
import json
import os
import time

import pytest

from tests.helpers.running_server import Caller, running
from unifmir.zoo.serve.job_store import JobStore


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that runs one job at once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("serve")
        with running(folder, patch, job_bytes=200 * 10**6, upload_bytes=10**6) as address:
            yield address


@pytest.fixture
def caller(server):
    """A new session."""
    with Caller(server) as one:
        yield one


def test_an_image_comes_back_with_what_was_told_on_the_way(caller):
    image = b"tiles 3\nsleep 0.3\n"
    name = caller.given(image, "my cells.ome.tif", tile=256)
    told = caller.told(name)
    assert told[-1]["state"] == "done"
    assert told[-1]["progress"] == {"done": 3, "total": 3, "unit": "tiles", "seconds_left": None}
    assert told[-1]["input"] == {
        "name": "my cells.ome.tif",
        "bytes": len(image),
        "axes": "yx",
        "shape": [8, 8],
    }
    restored = b"restored " + image
    assert told[-1]["result"] == {
        "name": "my cells.sr.tif",
        "bytes": len(restored),
        "sha256": hashlib.sha256(restored).hexdigest(),
    }
    assert told[-1]["settings"]["tile"] == 256
    answer = caller.get(f"/api/jobs/{name}/result")
    assert answer.content == restored
    assert answer.headers["content-disposition"].endswith("my%20cells.sr.tif")
    part = caller.get(f"/api/jobs/{name}/result", headers={"range": "bytes=9-13"})
    assert (part.status_code, part.content) == (206, b"tiles")
    assert caller.get(f"/api/jobs/{name}/input").content == image
    assert caller.get(f"/api/jobs/{name}/report").json() == {"status": "restored"}


def test_a_refused_image_says_why_by_its_own_name_and_leaves_no_result(caller):
    name = caller.given(b"fail is no image: give --z-factor 4", "../../cells.tif")
    job = caller.waited(name)
    assert job["state"] == "failed"
    assert job["error"]["message"] == "cells.tif: is no image: give z_factor 4"
    assert caller.get(f"/api/jobs/{name}/result").status_code == 404
    assert caller.get(f"/api/jobs/{name}/report").status_code == 404


def test_a_process_that_crashes_or_grows_fails_alone(caller, server):
    crashed, grown = caller.given(b"crash"), caller.given(b"grow 300")
    with Caller(server) as other:
        fine = other.given(b"tiles 1")
        assert other.waited(fine)["state"] == "done"
    assert "SIGABRT" in caller.waited(crashed)["error"]["message"]
    job = caller.waited(grown)
    assert "memory" in job["error"]["message"]
    assert "tile" in job["error"]["hint"]


def test_a_running_job_is_cancelled_and_the_next_one_runs(caller):
    first, second = caller.given(b"sleep 60"), caller.given(b"tiles 1")
    caller.waited(first, "running")
    assert caller.job(second)["place"] == 0
    assert caller.delete(f"/api/jobs/{first}").json()["state"] == "cancelled"
    assert caller.waited(second, seconds=10)["state"] == "done"
    assert caller.job(first)["state"] == "cancelled"


def test_a_waiting_job_is_cancelled_and_never_runs(caller):
    first, second = caller.given(b"sleep 0.5"), caller.given(b"tiles 1")
    assert caller.delete(f"/api/jobs/{second}").json()["state"] == "cancelled"
    assert caller.waited(first)["state"] == "done"
    assert caller.job(second)["progress"]["total"] is None


def test_the_files_of_an_ended_job_are_deleted(caller):
    name = caller.given(b"tiles 1")
    caller.waited(name)
    assert caller.delete(f"/api/jobs/{name}").status_code == 200
    assert caller.get(f"/api/jobs/{name}").status_code == 404
    assert name not in [job["id"] for job in caller.get("/api/jobs").json()]


def test_sessions_take_turns(caller, server):
    blocking = caller.given(b"sleep 0.6")
    caller.waited(blocking, "running")
    many = [caller.given(b"tiles 1") for _ in range(3)]
    with Caller(server) as other:
        one = other.given(b"tiles 1")
        assert other.job(one)["place"] == 1
        ended = {one: other.waited(one)["finished"]}
    ended |= {name: caller.waited(name)["finished"] for name in many}
    assert sorted(ended, key=lambda name: ended[name]) == [many[0], one, *many[1:]]


def test_jobs_of_others_are_not_there(caller, server):
    name = caller.given(b"tiles 1")
    caller.waited(name)
    with Caller(server) as other:
        assert other.get("/api/jobs").json() == []
        for end in ("", "/events", "/result", "/input", "/report"):
            answer = other.get(f"/api/jobs/{name}{end}")
            assert (answer.status_code, set(answer.json()["error"])) == (404, {"message", "hint"})
        assert other.delete(f"/api/jobs/{name}").status_code == 404
    assert caller.job(name)["state"] == "done"


def test_what_had_not_ended_goes_on_after_a_restart(tmp_path, monkeypatch):
    with running(tmp_path / "f", monkeypatch) as address:
        caller = Caller(address)
        ended = caller.given(b"tiles 1")
        caller.waited(ended)
        runs, waits = caller.given(b"sleep 0.5\ntiles 2"), caller.given(b"tiles 1")
        caller.waited(runs, "running")
    with running(tmp_path / "f", monkeypatch) as address:
        caller.address = address
        assert caller.job(ended)["state"] == "done"
        assert caller.waited(runs)["progress"]["done"] == 2
        assert caller.waited(waits)["state"] == "done"


def test_ended_jobs_are_deleted_after_their_time(tmp_path, monkeypatch):
    with running(tmp_path / "f", monkeypatch) as address, Caller(address) as caller:
        name = caller.given(b"tiles 1")
        caller.waited(name)
    store = JobStore(tmp_path / "f")
    assert store.remove_expired(3600) == []
    time.sleep(0.01)
    assert store.remove_expired(0.001) == [name]
    assert list((tmp_path / "f" / "jobs").iterdir()) == []


def test_a_damaged_record_is_removed_and_no_other(tmp_path, monkeypatch, caplog):
    with running(tmp_path / "f", monkeypatch) as address, Caller(address) as caller:
        names = [caller.given(b"tiles 1") for _ in range(2)]
        for name in names:
            caller.waited(name)
    (tmp_path / "f" / "jobs" / names[0] / "job.json").write_text('{"id": 1}')
    assert [job.id for job in JobStore(tmp_path / "f")] == names[1:]
    assert names[0] in caplog.text


def test_pipes_links_and_records_of_files_elsewhere_are_no_jobs(tmp_path, caplog):
    folder, victim = tmp_path / "f", tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("precious")
    JobStore(folder)
    places = [folder / "jobs" / (letter * 32) for letter in "abc"]
    for place in places[:2]:
        place.mkdir()
    os.mkfifo(places[0] / "job.json")
    record = {
        "id": "b" * 32,
        "session": "0" * 64,
        "settings": {"task": "sr"},
        "input": {"name": "a.tif", "bytes": 1},
        "source": "../../../victim/precious.txt",
        "created": "2026-01-01T00:00:00.000+00:00",
    }
    (places[1] / "job.json").write_text(json.dumps(record))
    places[2].symlink_to(victim)
    store = JobStore(folder)
    assert list(store) == []
    assert (victim / "precious.txt").read_text() == "precious"
    for told in ("no plain file", "JobRecord.source is", "No such file"):
        assert told in caplog.text
