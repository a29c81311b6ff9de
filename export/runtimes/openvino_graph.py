"""Graphs of OpenVINO, held against what exports use before the library sees them."""

import re
from xml.etree import ElementTree as ET

from unifmir.errors import ExportError

GRAPH = "model.xml"
"""Name of the graph in an archive."""
OPERATORS = frozenset(
    (
        "Abs",
        "Add",
        "AvgPool",
        "BatchNormInference",
        "Broadcast",
        "Clamp",
        "Concat",
        "Const",
        "Convert",
        "Convolution",
        "ConvolutionBackpropData",
        "Cos",
        "DepthToSpace",
        "Divide",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "FloorMod",
        "Gather",
        "Gelu",
        "Greater",
        "GreaterEqual",
        "Interpolate",
        "IsInf",
        "IsNaN",
        "Less",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "MVN",
        "MatMul",
        "MaxPool",
        "Maximum",
        "Minimum",
        "Multiply",
        "Negative",
        "PReLU",
        "Pad",
        "Parameter",
        "Power",
        "Range",
        "ReLU",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Result",
        "Select",
        "ShapeOf",
        "Sigmoid",
        "Sin",
        "Slice",
        "SoftMax",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Subtract",
        "Tanh",
        "Tile",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "VariadicSplit",
    )
)
"""Operators that exported networks may have: what those of `onnx_graph.OPERATORS` become. None
holds a graph, remembers what it was given, or is left to chance."""
MAX_LAYERS = 100_000
"""Limit of a graph."""
MAX_TEXT_BYTES = 64_000_000
"""Limit of a graph; those of full-size networks have 3 MB."""
_OPSET = re.compile(r"opset[0-9]+")
_DIGITS = re.compile(r"[0-9]{1,19}")


def parsed_plain_graph(name: str, text: bytes, weights_bytes: int) -> ET.Element:
    """The graph's XML, if it does nothing but compute with its own constants.

    Raises
    ------
    ExportError
        It has entities, graphs in it, operators of others or constants out of reach; nothing of it
        was run.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise ExportError(f"{name}: its {GRAPH} is longer than {MAX_TEXT_BYTES} bytes")
    # In UTF-8, whatever it declares: in another encoding a declaration would not be seen.
    if text[:1] != b"<" or b"\0" in text:
        raise ExportError(f"{name}: its {GRAPH} is no XML in UTF-8")
    if b"<!" in text:  # entities, which may be files or grow without end, need a declaration
        raise ExportError(f"{name}: its {GRAPH} declares entities, which no export has")
    try:
        graph = ET.fromstring(text, ET.XMLParser(encoding="utf-8"))  # noqa: S314 - no entities
    except ET.ParseError as error:
        raise ExportError(f"{name}: its {GRAPH} is no XML ({error})") from error
    layers = list(graph.iter("layer"))
    if len(layers) > MAX_LAYERS:
        raise ExportError(f"{name}: it has {len(layers)} operators, expected at most {MAX_LAYERS}")
    for layer in layers:
        kind, version = layer.get("type", ""), layer.get("version", "")
        if kind not in OPERATORS or not _OPSET.fullmatch(version):
            raise ExportError(
                f"{name} is refused, and nothing of it was run: it has an operator "
                f"{kind[:80]!r} of {version[:80]!r}, which no network of unifmir needs"
            )
        data = layer.find("data")
        if kind == "Const" and data is not None:
            _require_within(name, data, weights_bytes)
    return graph


def _require_within(name: str, data: ET.Element, weights_bytes: int) -> None:
    """Refuse a constant that does not lie in the weights."""
    offset, size = data.get("offset", ""), data.get("size", "")
    # Digits of other scripts are numbers to Python alone.
    numbers = _DIGITS.fullmatch(offset) and _DIGITS.fullmatch(size)
    if not numbers or int(offset) + int(size) > weights_bytes:
        raise ExportError(
            f"{name}: a constant of {size[:20]!r} bytes at {offset[:20]!r} does not lie in its "
            f"{weights_bytes} bytes of weights"
        )
