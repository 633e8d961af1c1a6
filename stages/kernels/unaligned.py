"""Eight bytes of an array at once, at any position: what passes over text are fast by.

Written for the compiler, since from eight loads of a byte each it does not make one. The caller sees to it that the
eight bytes are inside of the array. On every machine the byte at the lowest address is the lowest eight bits.
"""

import sys
from importlib import import_module
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

Bytes = npt.NDArray[np.uint8]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """Address of eight bytes of a contiguous array of bytes, as a 64-bit number's."""
    ir = import_module("llvmlite.ir")  # without stubs
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.IntType(64).as_pointer())


def _native(builder: Any, number: Any) -> Any:
    return number if sys.byteorder == "little" else builder.bswap(number)


def _load8(typing_context: Any, data: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return _native(builder, builder.load(pointer, align=1))

    return types.uint64(data, types.intp), generate


def _store8(typing_context: Any, data: Any, at: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(_native(builder, arguments[2]), pointer, align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), generate


load8 = cast("Any", intrinsic)(_load8)
"""load8(data, at) -> uint64"""

store8 = cast("Any", intrinsic)(_store8)
"""store8(data, at, number)"""
