"""Certificate of the precision an engine computes in: counted, not believed.

Twice: on the network that the parser made of the ONNX file, whose types are binding in a strongly
typed build, and on the engine itself, as TensorRT's inspector lists its layers.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unifmir.errors import ExportError
from unifmir.precision.planning import MIN_LOW_SHARE

ENOUGH = 0.9
"""Part of the graph's share of low-precision products that the engine must have too. The graph's
is below 1 where the precision plan keeps islands in fp32; fusing changes what counts as a layer."""
NAMES = {"fp32": "Float", "fp16": "Half", "bf16": "BFloat16"}
_PRODUCTS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM", "ATTENTION_INPUT")
"""Network layers that multiply and add; `LayerType` members."""
_DTYPES = {"FLOAT": "Float", "HALF": "Half", "BF16": "BFloat16"}
_WITH_PRODUCTS = re.compile(r"conv|gemm|matmul|matrix_?mul|einsum|attention|mha", re.IGNORECASE)
"""Pattern in an engine layer's type, tactic, name, or the ONNX nodes it was made of."""
_FORMATS = (
    # The longest first: BFloat16 has Float in it.
    ("BFloat16", re.compile(r"bfloat16|bf16", re.IGNORECASE)),
    ("Half", re.compile(r"half|fp16|float16", re.IGNORECASE)),
    ("Float", re.compile(r"float|fp32", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many layers with products compute in each type."""

    counts: Mapping[str, int]
    """`Half` -> 41. Names are TensorRT's: Float, Half, BFloat16, others as they come."""

    @property
    def total(self) -> int:
        """Layers counted."""
        return sum(self.counts.values())

    def share(self, precision: str) -> float:
        """Part of them in `fp32`, `fp16` or `bf16`; 0 if there are none."""
        return self.counts.get(NAMES[precision], 0) / self.total if self.total else 0.0

    def to_dict(self) -> dict[str, int]:
        """The counts as JSON values, in the order of names."""
        return dict(sorted(self.counts.items()))

    @property
    def text(self) -> str:
        """`41 Half, 2 Float`."""
        return ", ".join(f"{n} {name}" for name, n in Counter(self.counts).most_common())


def network_types(api: Any, network: Any) -> TypeCount:
    """Count a parsed network's convolutions and products by the type they read."""
    wanted = {getattr(api.LayerType, name) for name in _PRODUCTS if hasattr(api.LayerType, name)}
    layers = (network.get_layer(i) for i in range(network.num_layers))
    types = (layer.get_input(0).dtype.name for layer in layers if layer.type in wanted)
    return TypeCount(Counter(_DTYPES.get(name, name) for name in types))


def engine_types(api: Any, engine: Any) -> TypeCount:
    """Count an engine's layers with products by the type they read, from its inspector.

    Raises
    ------
    ExportError
        The inspector's answer is not what TensorRT documents.
    """
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(api.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text)["Layers"]
        return TypeCount(Counter(_engine_layer_types(layers)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"the engine's inspector gave no list of layers ({type(error).__name__}: {error}): "
            "what it computes in cannot be certified"
        ) from error


def _engine_layer_types(layers: Iterable[Any]) -> Iterable[str]:
    for layer in layers:
        # With less detail a layer is only its name: nothing can be said of its type.
        if not isinstance(layer, Mapping) or not layer.get("Inputs"):
            continue
        said = " ".join(
            str(layer.get(key, "")) for key in ("LayerType", "TacticName", "Name", "Metadata")
        )
        # Reformatting and casts stand beside a product and carry its name.
        if _WITH_PRODUCTS.search(said) and "reformat" not in str(layer.get("LayerType")).lower():
            yield _format(str(layer["Inputs"][0]["Format/Datatype"]))


def _format(text: str) -> str:
    return next((name for name, pattern in _FORMATS if pattern.search(text)), text)


def require_graph(graph: TypeCount, precision: str, what: str) -> None:
    """Refuse a graph that is called by a precision most of it does not compute in.

    Raises
    ------
    ExportError
        Less than half of its convolutions and products are in the precision, or it has none.
    """
    if (share := graph.share(precision)) < MIN_LOW_SHARE:
        raise ExportError(
            f"{what}: {share:.0%} of the graph's convolutions and products are in {precision}, at "
            f"least {MIN_LOW_SHARE:.0%} are needed to call it that ({graph.text or 'none found'}); "
            "export with --precision fp32"
        )


def require(engine: TypeCount, graph: TypeCount, precision: str, what: str) -> None:
    """Refuse an engine that does not compute in the precision its graph is written in.

    Raises
    ------
    ExportError
        The inspector told nothing of layers with products, or less than 90 % of the graph's
        share of them is in the precision.
    """
    if not engine.total:
        raise ExportError(
            f"{what}: the engine's inspector lists no layer with products, so that it computes in "
            f"{precision} cannot be certified"
        )
    share, wanted = engine.share(precision), ENOUGH * graph.share(precision)
    if share < wanted:
        raise ExportError(
            f"{what}: {share:.0%} of the engine's layers with products compute in {precision}, "
            f"expected {wanted:.0%} ({ENOUGH:.0%} of the graph's share; engine: {engine.text}; "
            f"graph: {graph.text}); export with --precision fp32"
        )
