"""TensorRT engines: one implementation over what `tensorrt` 10.12+, 11 and `tensorrt-rtx` share.

`library` finds the library, `profiles` says which sizes an engine takes, `builder` makes one from
an ONNX file, `certificate` counts the types it really computes in, `passport` is the record beside
it that decides whether it is loaded, `engine` loads it, `exporter` is the export format.
"""
