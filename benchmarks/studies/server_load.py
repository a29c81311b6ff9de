"""Many users of `unifmir serve` at once: every job done, in turn, and memory bounded.

    python -m benchmarks.studies.server_load [--users 20] [--jobs 2]

writes benchmarks/results/server-load.json. Each user is a session that uploads the sample image of
`sr` and waits for the result; all upload at the same moment. Memory is looked at four times a
second: that of the server's own process, and the sum over it and all processes of jobs (resident
sets, so that pages which they share count several times). The time of all is held against as many
times that of one user alone, before and after; that ratio means something on a machine that does
nothing else, so the table leaves it out.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import requests

from unifmir.benchmarks.studies.result_files import origin, provenance, write_result
from unifmir.text_tables import markdown_rows
from unifmir.zoo.serve.server_facts import sample_path

TASK, MEMORY_MB = "sr", 1500
LOOK_EVERY_S, ASK_EVERY_S = 0.25, 0.5
MIB = 2**20


def main() -> None:
    """Start a server, let the users come, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        command = [
            *(sys.executable, "-m", "unifmir", "serve", "--port", "0", "--folder", f"{name}/f"),
            *("--jobs", str(given.jobs), "--memory", str(MEMORY_MB)),
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1].rstrip("/")
            found = measured(address, psutil.Process(server.pid), given.users)
        finally:
            server.terminate()
            server.wait()
    told = f"python -m benchmarks.studies.server_load --users {given.users} --jobs {given.jobs}"
    write_result(
        "server-load.json",
        {**provenance(told), "jobs_at_once": given.jobs, "job_memory_mb": MEMORY_MB, **found},
    )


def measured(address: str, server: psutil.Process, users: int) -> dict[str, Any]:
    """The figures of so many users, with one alone before and after."""
    before = server.memory_info().rss
    alone = [timed(lambda: used(address))[0]]
    stop, peaks = threading.Event(), {"server": 0, "all": 0}
    watch = threading.Thread(target=looked, args=(server, peaks, stop))
    watch.start()
    with ThreadPoolExecutor(users) as pool:
        wall, results = timed(lambda: list(pool.map(used, [address] * users)))
    stop.set()
    watch.join()
    alone.append(timed(lambda: used(address))[0])
    return {
        "users": users,
        "done": sum(one["state"] == "done" for one in results),
        "different_results": len({one["sha256"] for one in results}),
        "largest_place": max(one["place"] for one in results),
        "server_before_mib": round(before / MIB),
        "server_peak_mib": round(peaks["server"] / MIB),
        "all_peak_mib": round(peaks["all"] / MIB),
        "server_after_mib": round(server.memory_info().rss / MIB),
        "time_over_one_alone_times_users": round(wall / (users * sum(alone) / len(alone)), 3),
    }


def used(address: str) -> dict[str, Any]:
    """One user from upload to result."""
    with requests.Session() as session:
        session.trust_env = False
        image = sample_path(TASK)
        form: dict[str, tuple[str | None, str | bytes]] = {
            "image": (image.name, image.read_bytes()),
            "settings": (None, json.dumps({"task": TASK})),
        }
        answer = session.post(f"{address}/api/restore", files=form, timeout=600)
        answer.raise_for_status()
        job = answer.json()
        place, url = job["place"] or 0, f"{address}/api/jobs/{job['id']}"
        while job["state"] in ("waiting", "running"):
            time.sleep(ASK_EVERY_S)
            job = session.get(url, timeout=600).json()
        content = session.get(f"{url}/result", timeout=600).content
        digest = hashlib.sha256(content).hexdigest()
        return {"state": job["state"], "sha256": digest, "place": place}


def timed(work: Any) -> tuple[float, Any]:
    """Wall seconds of a piece of work, and what it gives."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def looked(server: psutil.Process, peaks: dict[str, int], stop: threading.Event) -> None:
    """Note the largest memory of the server and of all until told to stop."""
    while not stop.wait(LOOK_EVERY_S):
        own, jobs = server.memory_info().rss, 0
        for child in server.children(recursive=True):
            try:
                jobs += child.memory_info().rss
            except psutil.Error:
                continue
        peaks["server"] = max(peaks["server"], own)
        peaks["all"] = max(peaks["all"], own + jobs)


def server_load_table(document: dict[str, Any]) -> str:
    """The table of docs/serve.md."""
    columns = (
        "users at once",
        "jobs done",
        "different results",
        "server alone, MiB at most",
        "server and all jobs, MiB at most",
    )
    row = (
        f"{document['users']}",
        f"{document['done']}",
        f"{document['different_results']}",
        f"{document['server_peak_mib']} ({document['server_before_mib']} before)",
        f"{document['all_peak_mib']}",
    )
    note = (
        f"{document['jobs_at_once']} jobs at once, each with at most "
        f"{document['job_memory_mb']} MB. {origin(document)}"
    )
    return f"{markdown_rows(columns, [row])}\n\n{note}"


if __name__ == "__main__":
    main()
