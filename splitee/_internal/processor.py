"""What compiled functions ask of the processor in so many words: vectors, and memory before it is read.

Whether a compiler makes vector instructions of a plain loop depends on its version and on how many lanes
there are, at two to four times the price, so they are written down here. LLVM breaks vectors of eight into
those that a processor has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from splitee.costs import Floats

EIGHT = 8  # lanes in a vector
LANES = 3 * EIGHT  # played side by side at most: more do not go faster
AHEAD = 2  # rounds, beforehand
IN_CACHE = 100_000  # so many samples' numbers at a few layers are
_LINE = 64  # bytes of a line of the cache, and of a vector
_WHOLE = ir.IntType(64)
_INDICES, _WORDS = ir.VectorType(ir.DoubleType(), EIGHT), ir.VectorType(_WHOLE, EIGHT)
_HALVES = ir.VectorType(ir.IntType(32), EIGHT)


def aligned(size: int) -> Floats:
    """Return so many zeros that begin where a line of the cache does: no vector then lies across two."""
    room = np.zeros(size + EIGHT)
    begin = -room.ctypes.data % _LINE // room.itemsize
    zeros: Floats = room[begin : begin + size]
    return zeros


@intrinsic
def lead(  # type: ignore[no-untyped-def]
    typing, state, mean, width, known, first, arms, lanes, lane, weight, leader
):
    """Fill in ``leader[lane:lane + 8]``: the arm of the greatest mean + weight · width, the lowest on ties.

    While the arms pass, the greatest index so far and its arm stay in registers. In the flat array `state`,
    of so many `lanes`, those of arm a (first ≤ a < arms) are from ``known * (a * lanes + lane)`` + `mean` or
    `width` on; `lane` is a multiple of eight. A product, then a sum: nothing is fused.
    """
    whole = types.uint64
    given = (state, whole, whole, whole, whole, whole, whole, whole, types.float64, leader)
    return types.void(*given), _lead


def _lead(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    state, mean, width, known, first, arms, lanes, lane, weight, leader = given
    numbers = _memory(context, builder, signature.args[0], state)
    leaders = _memory(context, builder, signature.args[-1], leader)
    weights, lowest = _spread(builder, weight, _INDICES), _spread(builder, first, _WORDS)
    before, body = builder.block, builder.append_basic_block("arm")
    after = builder.append_basic_block("arms.end")
    builder.branch(body)
    builder.position_at_end(body)
    arm, greatest, leading = (builder.phi(kind) for kind in (_WHOLE, _INDICES, _WORDS))
    at = builder.mul(known, builder.add(builder.mul(arm, lanes), lane))
    means, widths = (
        builder.load(_place(builder, numbers, builder.add(row, at), _INDICES), align=8)
        for row in (mean, width)
    )
    index = builder.fadd(means, builder.fmul(weights, widths))
    leads = builder.fcmp_ordered(">", index, greatest)
    greater = builder.select(leads, index, greatest)
    led = builder.select(leads, _spread(builder, arm, _WORDS), leading)
    following = builder.add(arm, _WHOLE(1))
    none = ir.Constant(_INDICES, [-math.inf] * EIGHT)
    for changing, begin, now in ((arm, first, following), (greatest, none, greater), (leading, lowest, led)):
        changing.add_incoming(begin, before)
        changing.add_incoming(now, body)
    builder.cbranch(builder.icmp_unsigned("<", following, arms), body, after)
    builder.position_at_end(after)
    builder.store(led, _place(builder, leaders, lane, _WORDS), align=8)
    return context.get_dummy_value()


@intrinsic
def scale(typing, numbers, begin, factor, added, at, result):  # type: ignore[no-untyped-def]
    """Fill in eight of ``numbers[result:]``: of ``numbers[begin:] * factor + added.ravel()[at:]``.

    All that is multiplied takes 32 bits: vectors do that much faster. `added` is of int32, not negative.
    """
    whole = types.uint64
    return types.void(numbers, whole, whole, added, whole, whole), _scale


def _scale(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    numbers, begin, factor, added, at, result = given
    words = _memory(context, builder, signature.args[0], numbers)
    others = _memory(context, builder, signature.args[3], added)
    low = ir.Constant(_WORDS, [2**32 - 1] * EIGHT)  # says so to the compiler
    eight = builder.load(_place(builder, words, begin, _WORDS), align=8)
    more = builder.load(_place(builder, others, at, _HALVES), align=4)
    factors = builder.and_(_spread(builder, factor, _WORDS), low)
    product = builder.mul(builder.and_(eight, low), factors)
    total = builder.add(product, builder.zext(more, _WORDS))
    builder.store(total, _place(builder, words, result, _WORDS), align=8)
    return context.get_dummy_value()


def _memory(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return where the numbers of an array lie."""
    return context.make_array(kind)(context, builder, array).data


def _place(builder: Any, memory: Any, at: Any, kind: Any) -> Any:
    """Return where a vector lies that begins with one of the numbers."""
    return builder.bitcast(builder.gep(memory, [at]), kind.as_pointer())


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    """Return a vector of one number everywhere."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(_HALVES, [0] * EIGHT))


@intrinsic
def prefetch(typing, array, at):  # type: ignore[no-untyped-def]
    """Have ``array.ravel()[at]`` of a contiguous array fetched, for when it is read; nothing waits for it."""
    return types.void(array, types.uint64), _prefetch


def _prefetch(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    array, at = given
    numbers = _memory(context, builder, signature.args[0], array)
    byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
    fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    read, near, data = whole(0), whole(3), whole(1)
    builder.call(fetch, [builder.bitcast(builder.gep(numbers, [at]), byte), read, near, data])
    return context.get_dummy_value()


@intrinsic
def float_of(typing, word):  # type: ignore[no-untyped-def]
    """Return the float32 whose bits are the lower half of a word."""
    return types.float32(types.uint64), _float_of


def _float_of(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    return builder.bitcast(builder.trunc(given[0], ir.IntType(32)), ir.FloatType())
