"""The networks' slow parts in C, compiled on first use for the processor at hand.

Swin blocks and 3 x 3 convolutions of an eager network are replaced by calls into a small library
that keeps a window in the cache from its first LayerNorm to its last product. Only on the CPU;
the numbers are those of the eager network up to rounding. In training the window attention alone is
in C (`window_attention.py`).
"""

from unifmir.native.acceleration import accelerate
from unifmir.native.compilation import compiler_version, instructions_of_bf16, require

__all__ = ["accelerate", "compiler_version", "instructions_of_bf16", "require"]
