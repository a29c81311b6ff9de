"""Runtimes: one row each, imported when used.

Every runtime takes a NumPy array and gives one, on a named device, and says what really ran.
"""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    # The command line lists the runtimes: importing them must stay light.
    from unifmir.export.runtimes.base import Runtime

RUNTIMES: "Registry[Runtime]" = Registry(
    "runtime",
    [
        ("eager", "unifmir.export.runtimes.pytorch:EAGER"),
        ("plain", "unifmir.export.runtimes.pytorch:PLAIN"),
        ("native", "unifmir.export.runtimes.native:NATIVE"),
        ("native-bf16", "unifmir.export.runtimes.native:NATIVE_BF16"),
        ("compiled", "unifmir.export.runtimes.pytorch:COMPILED"),
        ("torchscript", "unifmir.export.runtimes.torchscript:TORCHSCRIPT"),
        ("aotinductor", "unifmir.export.runtimes.aotinductor:AOTINDUCTOR"),
        ("onnxruntime", "unifmir.export.runtimes.onnxruntime:ONNXRUNTIME"),
        ("tensorrt", "unifmir.export.runtimes.tensorrt.session:TENSORRT"),
        ("openvino", "unifmir.export.runtimes.openvino:OPENVINO"),
    ],
)
