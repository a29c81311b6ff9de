import json
from types import SimpleNamespace

import pytest

from tests.helpers import fake_tensorrt
from tests.helpers.fake_tensorrt import layer
from unifmir.errors import ExportError
from unifmir.export.runtimes.tensorrt.certificate import (
    TypeCount,
    engine_types,
    require,
    require_graph,
)

API = fake_tensorrt.module()


def inspected(text):
    inspector = SimpleNamespace(get_engine_information=lambda _: text)
    return engine_types(API, SimpleNamespace(create_engine_inspector=lambda: inspector))


def counted(*layers):
    return dict(inspected(json.dumps({"Layers": list(layers), "Bindings": ["image"]})).counts)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("Half", "Half"),
        ("Row major linear FP16 format", "Half"),
        ("Channel major FP16 format where channel % 8 == 0", "Half"),
        ("Float", "Float"),
        ("Row major linear FP32", "Float"),
        ("BFloat16", "BFloat16"),
        ("Row major linear BFloat16 format (kLINEAR)", "BFloat16"),
        ("Int8", "Int8"),
    ],
)
def test_formats_are_told_apart_in_all_their_spellings(form, name):
    assert counted(layer(form)) == {name: 1}


def test_only_layers_with_products_count():
    assert counted(
        layer("Half"),
        layer("Half", "gemm", Name="__myl_FcAdd"),
        layer("Half", "kgen", Name="__myl_0", Metadata="[ONNX Layer: /body/attn/MatMul]"),
        layer("Half", "kgen", Name="mha_v2"),
        layer("Float", "PointWise", Name="add_3"),
        layer("Float", "Reformat", Name="Reformatting CopyNode for Input 0 to /conv_first/Conv"),
        "a layer without details",
        {"Name": "/conv", "LayerType": "CaskConvolution", "Inputs": []},
    ) == {"Half": 4}


ALL_HALF = TypeCount({"Half": 10})


@pytest.mark.parametrize(("half", "fine"), [(9, True), (8, False)])
def test_nine_of_ten_must_be_in_the_precision(half, fine):
    types = TypeCount({"Half": half, "Float": 10 - half})
    if fine:
        require(types, ALL_HALF, "fp16", "a.engine")
        return
    with pytest.raises(ExportError, match=r"a\.engine: 80% .* expected 90% .*8 Half, 2 Float"):
        require(types, ALL_HALF, "fp16", "a.engine")


def test_islands_of_the_graph_are_not_asked_of_the_engine():
    graph = TypeCount({"Half": 7, "Float": 3})
    require(TypeCount({"Half": 64, "Float": 36}), graph, "fp16", "a.engine")
    with pytest.raises(ExportError, match=r"62% .* expected 63%"):
        require(TypeCount({"Half": 62, "Float": 38}), graph, "fp16", "a.engine")


@pytest.mark.parametrize(("half", "fine"), [(5, True), (4, False), (0, False)])
def test_a_graph_that_is_mostly_fp32_is_not_called_fp16(half, fine):
    graph = TypeCount({"Half": half, "Float": 10 - half})
    if fine:
        require_graph(graph, "fp16", "a.engine")
        return
    with pytest.raises(ExportError, match=r"a\.engine: \d+% of the graph's .* at least 50%"):
        require_graph(graph, "fp16", "a.engine")


def test_one_low_precision_is_not_the_other():
    with pytest.raises(ExportError, match="0% of the engine's layers"):
        require(ALL_HALF, TypeCount({"BFloat16": 10}), "bf16", "a.engine")


def test_an_engine_of_which_nothing_is_known_is_not_certified():
    with pytest.raises(ExportError, match="cannot be certified"):
        require(TypeCount({}), ALL_HALF, "fp16", "a.engine")


@pytest.mark.parametrize("text", ["", "[]", '{"Layers": 3}', '{"Layers": [{"Inputs": [1], '])
def test_an_answer_that_is_no_list_of_layers_is_told(text):
    with pytest.raises(ExportError, match="no list of layers"):
        inspected(text)


def test_what_is_in_the_engine_is_said_most_frequent_first():
    types = TypeCount({"Float": 2, "Half": 41})
    assert types.text == "41 Half, 2 Float"
    assert types.to_dict() == {"Float": 2, "Half": 41}
    assert types.share("fp16") == pytest.approx(41 / 43)
