"""What a file says of itself: read strictly, and held against what its configuration implies."""

import json
from typing import Any

import pytest

from tests.helpers.restoration_cases import SMALL
from unifmir.errors import UnifmirError
from unifmir.export.lineage import MAX_TEXT, Lineage, lineage_of
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision
from unifmir.tasks import TASKS

PARENT = Provenance(name="parent.safetensors", sha256="0a" * 32)


def strings(task: str = "denoise") -> dict[str, str]:
    return lineage_of(SMALL.single(task), "image", Precision("fp32"), PARENT).to_strings()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("interface", ["image", "network", "raw"])
def test_what_was_written_is_read(task, interface):
    lineage = lineage_of(SMALL.single(task), interface, Precision("fp16"), PARENT)
    assert Lineage.from_strings(lineage.to_strings(), "file.onnx") == lineage


def config(**changed: Any) -> str:
    return json.dumps(json.loads(strings()["config"]) | changed)


LIES = {
    "task of another folder": {"task": "x/../../victim/pwn"},
    "task with a control character": {"task": "denoise\x1b[2J"},
    "another task": {"task": "sr"},
    "another known task": {"task": "isotropic"},
    "another interface": {"interface": "network"},
    "unknown interface": {"interface": "all"},
    "unknown precision": {"precision": "fp4"},
    "unknown variant": {"variant": "mixed"},
    "another scale": {"scale": "3"},
    "scale that is no number": {"scale": '"2"'},
    "scale that is true": {"scale": "true"},
    "scale that is NaN": {"scale": "NaN"},
    "other input axes": {"input_axes": '["batch", "channel=1", "y", "x"]'},
    "no output axes": {"output_axes": "[]"},
    "axes that are no text": {"input_axes": "[1, 2]"},
    "another normalisation": {
        "normalization": json.dumps(json.loads(strings()["normalization"]) | {"low_percent": 5.0})
    },
    "normalisation of another kind": {"normalization": '{"kind": "none"}'},
    "another size rule": {
        "size_rule": json.dumps(json.loads(strings()["size_rule"]) | {"step": 64})
    },
    "configuration of more": {"config": config(more=1)},
    "window that is text": {"config": config(body={"window_size": "8"})},
    "configuration of nothing": {"config": "{}"},
    "configuration that is a list": {"config": "[]"},
    "configuration of every task": {"config": json.dumps(SMALL.to_dict())},
    "configuration nested deeply": {"config": "[" * 50_000},
    "configuration of a million characters": {"config": " " * 10 * MAX_TEXT + "{}"},
    "parent of another folder": {"parent": json.dumps({"name": "../../x", "sha256": "0a" * 32})},
    "parent with an escape": {"parent": json.dumps({"name": "\x1b[2J", "sha256": "0a" * 32})},
    "parent without a name": {"parent": json.dumps({"name": "", "sha256": "0a" * 32})},
    "parent without a hash": {"parent": '{"name": "parent.safetensors", "sha256": ""}'},
    "parent and more": {"parent": json.dumps({"name": "a", "sha256": "0a" * 32, "url": "b"})},
    "parent that is no table": {"parent": "7"},
    "another schema": {"schema": "99"},
    "schema that is a list": {"schema": "[1]"},
    "versions that are numbers": {"versions": '{"torch": 2}'},
    "no JSON": {"scale": "{"},
}


@pytest.mark.parametrize("changed", LIES.values(), ids=list(LIES))
def test_a_lie_is_refused_in_one_line(changed):
    with pytest.raises(UnifmirError) as raised:
        Lineage.from_strings(strings() | changed, "file.onnx")
    message = str(raised.value)
    assert len(message) < 1000
    assert message.isprintable(), "nothing that a terminal would obey"


@pytest.mark.parametrize("missing", strings())
def test_a_missing_field_is_named(missing):
    kept = {key: value for key, value in strings().items() if key != missing}
    with pytest.raises(UnifmirError, match=rf"file\.onnx: its metadata has no '{missing}'"):
        Lineage.from_strings(kept, "file.onnx")
