"""The static site: its folder, what it tells, and what a browser is told of a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.browser_restorations import TOYS, toy_config
from unifmir.errors import MissingExtraError, OutputError, UnknownNameError, ZooError
from unifmir.images.arrays import ArraySource
from unifmir.images.base import ImageInfo
from unifmir.restoration.base import Predictor
from unifmir.zoo import EMBEDDED
from unifmir.zoo.serve import server_facts
from unifmir.zoo.site import building
from unifmir.zoo.site.browser_network import BrowserNetwork, browser_network, site_interface
from unifmir.zoo.site.site_folder import PARTS, published_folder

RNG = np.random.default_rng(2)


def network(task: str, shape: tuple[int, ...], axes: str, *, own: bool = False) -> BrowserNetwork:
    """What a browser is told of a toy for a task."""
    config = toy_config(task, own=own)
    predictor = Predictor(TOYS[task], config, site_interface(config))
    image = RNG.gamma(2, 100, shape).astype(np.float32)
    return browser_network(predictor, ArraySource(image, axes, ImageInfo("toy", axes)))


def test_a_stack_is_told_with_its_neighbours_and_a_measured_overlap():
    found = network("denoise", (6, 128, 128), "zyx")
    assert (found.way, found.neighbours, found.scale) == ("restore_sub_stacks", 2, 1)
    assert (found.low_percent, found.high_percent, found.intensity) == (2.0, 99.8, "percentile")
    # The toy reaches a pixel; with the safety of 8 that is two windows of 8.
    assert (found.grid, found.halo, found.ramp) == ((1, 8, 8), (2, 16, 16), 0)
    assert (found.cut, found.planes, found.planes_read) == ((False, True, True), None, None)


def test_a_light_field_is_told_to_be_whole_and_scaled_by_its_file():
    found = network("volume", (88, 88), "yx")
    assert (found.way, found.lens_px, found.planes) == ("restore_channels", 11, 31)
    assert (found.cut, found.scaled_inside, found.invertible) == ((False,) * 3, True, False)
    assert (found.planes_read, found.result_axes) == (1, "zyx")


def test_a_projection_is_blended_and_a_finer_sampling_told():
    surface = network("projection", (50, 64, 64), "zyx")
    finer = network("sr", (64, 64), "yx", own=True)
    assert (surface.way, surface.planes_read, surface.planes) == ("restore_volume", 50, 1)
    assert surface.whole_depth
    assert (finer.way, finer.scale, finer.clip) == ("restore_planes", 2, True)
    assert (finer.intensity, network("sr", (64, 64), "yx").intensity) == ("local", "percentile")


def test_a_stack_of_sections_is_told_by_the_plain_network():
    found = network("isotropic", (24, 48, 48), "zyx")
    assert (found.way, found.run, found.isotropic) == ("restore_isotropic", "section", True)
    assert (found.input_axes, found.cut) == (("batch", "channel=1", "height", "width"), (True,) * 3)


def test_a_site_takes_the_place_of_an_earlier_one_alone(tmp_path):
    out = tmp_path / "zoo"
    with published_folder(out, overwrite=False) as folder:
        (folder / "site.json").write_text('{"format": 1, "networks": []}', "utf-8")
        assert not out.exists()
    with published_folder(out, overwrite=False) as folder:
        (folder / "index.html").write_text("", "utf-8")
    assert [path.name for path in out.iterdir()] == ["index.html"]
    with (
        pytest.raises(OutputError, match="is no site of `unifmir zoo site`"),
        published_folder(out, overwrite=False),
    ):
        pass
    with published_folder(out, overwrite=True):
        pass
    assert list(out.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]


def test_what_fails_leaves_the_site_that_was_there(tmp_path):
    out = tmp_path / "zoo"
    out.mkdir()
    (out / "site.json").write_text('{"format": 1, "networks": []}', "utf-8")
    with pytest.raises(KeyError), published_folder(out, overwrite=False):
        raise KeyError
    assert [path.name for path in out.iterdir()] == ["site.json"]
    (tmp_path / "file").write_text("", "utf-8")
    with (
        pytest.raises(OutputError, match="is a file or a link"),
        published_folder(tmp_path / "file", overwrite=True),
    ):
        pass


def test_what_others_put_into_a_site_is_not_deleted_with_it(tmp_path):
    out = tmp_path / "zoo"
    with published_folder(out, overwrite=False) as folder:
        (folder / "site.json").write_text('{"format": 1, "networks": []}', "utf-8")
    for name in (".git", "CNAME"):
        (out / name).mkdir()
    with (
        pytest.raises(OutputError, match=r"deleted with it: \.git, CNAME\."),
        published_folder(out, overwrite=False),
    ):
        pass
    assert {path.name for path in out.iterdir()} == {".git", "CNAME", "site.json"}
    with published_folder(out, overwrite=True):
        pass
    assert list(out.iterdir()) == []


def test_the_folder_one_is_in_is_refused_before_a_site_is_made(tmp_path, monkeypatch):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / "deeper")
    for out in (Path(), Path(".."), tmp_path / "in", tmp_path / "in" / "deeper"):
        with (
            pytest.raises(OutputError, match="the folder you are in, or one around it"),
            published_folder(out, overwrite=True),
        ):
            pass
    assert list((tmp_path / "in").iterdir()) == [tmp_path / "in" / "deeper"]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page that is built."""
    folder = tmp_path / "page"
    for name in ("index.html", "assets/index.js", "engine/ort.wasm"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(building.SERVED, "utf-8")
    return folder


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Networks that were asked for; each takes no time."""
    asked = []

    def instead(work: Any, folder: Path) -> dict[str, Any]:
        asked.append((work.model.id, work.task))
        file = folder / "models" / f"{work.task}.onnx"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"onnx")
        pictures = {"before": f"pictures/{work.task}.png"}
        return {"model": work.model.id, "facts": {"task": work.task}, "pictures": pictures}

    monkeypatch.setattr(building, "_network", instead)
    return asked


def test_a_site_tells_what_a_server_tells(tmp_path, page, exported):
    table = {"title": "mine", "task": "sr", "rows": [{"model": "a", "median_ms": 3.5}]}
    built = building.build_site(
        tmp_path / "zoo", page=page, tasks=["sr"], models=[EMBEDDED], tables=[table]
    )
    assert exported == [(EMBEDDED, "sr")] == list(built.networks)
    assert {path.name for path in (tmp_path / "zoo").iterdir()} <= PARTS
    told = json.loads((tmp_path / "zoo" / "site.json").read_text("utf-8"))
    assert told["tasks"] == server_facts.tasks()
    assert told["benchmarks"] == [table, *server_facts.measured()]
    ours, *others = told["models"]
    assert (ours["id"], ours["available"], ours["missing"]) == (EMBEDDED, True, "")
    assert {one["id"] for one in told["models"]} == {one["id"] for one in server_facts.models()}
    assert not any(one["available"] for one in others)
    assert all("were not on the machine" in one["missing"] for one in others)
    samples = {one["task"]: one for one in told["samples"]}
    assert samples["sr"]["picture"] == "pictures/sr.png"
    assert samples["denoise"]["picture"] is None
    assert samples["isotropic"]["settings"] == {"z_factor": 1.0}
    for task, row in samples.items():
        copied = (tmp_path / "zoo" / row["file"]).read_bytes()
        assert copied == server_facts.sample_path(task).read_bytes()


def test_its_page_asks_nobody_and_its_weight_leaves_the_engine_out(tmp_path, page, exported):
    built = building.build_site(tmp_path / "zoo", page=page, tasks=["sr"])
    html = (tmp_path / "zoo" / "index.html").read_text("utf-8")
    assert 'content="browser"' in html
    assert "Content-Security-Policy" in html
    assert "connect-src &#x27;self&#x27; blob:" in html
    files = [path for path in (tmp_path / "zoo").rglob("*") if path.is_file()]
    assert built.size_bytes == sum(path.stat().st_size for path in files)
    assert built.page_bytes == sum(
        (tmp_path / "zoo" / name).stat().st_size
        for name in ("index.html", "assets/index.js", "site.json")
    )


def test_what_changes_gives_the_site_another_name(tmp_path, page, exported):
    def identity() -> str:
        building.build_site(tmp_path / "zoo", page=page, tasks=["sr"])
        told: str = json.loads((tmp_path / "zoo" / "site.json").read_text("utf-8"))["id"]
        return told

    first = identity()
    assert identity() == first
    (page / "assets" / "index.js").write_text("changed", "utf-8")
    assert identity() != first


def test_what_cannot_be_made_is_refused_with_what_to_do(tmp_path, page, exported):
    out = tmp_path / "zoo"
    with pytest.raises(MissingExtraError, match="make web"):
        building.build_site(out, page=tmp_path)
    with pytest.raises(UnknownNameError):
        building.build_site(out, page=page, models=["nobody"])
    with pytest.raises(ZooError, match="unifmir-sr-er is not on this machine"):
        building.build_site(out, page=page, models=["unifmir-sr-er"])
    with pytest.raises(OutputError, match="would lie in the page itself"):
        building.build_site(page / "zoo", page=page, tasks=["sr"])
    assert not (page / "zoo").exists()
    (page / "index.html").write_text("<html>", "utf-8")
    with pytest.raises(ZooError, match="lacks the line"):
        building.build_site(out, page=page, tasks=["sr"])
    assert not out.exists()
