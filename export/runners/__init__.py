"""What runs a model: one row a runtime, imported when used.

Every runtime takes a NumPy array and gives one, on a named device, and says what really ran.
"""

from typing import TYPE_CHECKING

from unifmir.registry import Registry

if TYPE_CHECKING:
    # The command line lists the runtimes: importing them must stay light.
    from unifmir.export.runners.base import Runtime

RUNNERS: "Registry[Runtime]" = Registry(
    "runtime",
    [
        ("eager", "unifmir.export.runners.pytorch:EAGER"),
        ("plain", "unifmir.export.runners.pytorch:PLAIN"),
        ("native", "unifmir.export.runners.native:NATIVE"),
        ("native-bf16", "unifmir.export.runners.native:NATIVE_BF16"),
        ("compiled", "unifmir.export.runners.pytorch:COMPILED"),
        ("torchscript", "unifmir.export.runners.pytorch:TORCHSCRIPT"),
        ("aotinductor", "unifmir.export.runners.pytorch:AOTINDUCTOR"),
        ("onnxruntime", "unifmir.export.runners.onnxruntime:ONNXRUNTIME"),
        ("tensorrt", "unifmir.export.runners.tensorrt:TENSORRT"),
        ("openvino", "unifmir.export.runners.openvino:OPENVINO"),
    ],
)
