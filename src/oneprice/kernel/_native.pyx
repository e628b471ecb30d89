# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, nonecheck=False, annotation_typing=False
"""The native kernel: raw depth frames to fixed-point books in C, the same as the reference.

Levels lie in flat arrays, best last, so that the common change near the touch moves little. Asks
are kept under the negative of their ticks: both sides are then ascending and share all code. Every
frame is scanned once; levels are staged and only applied when the whole frame was read and its
sequence proven. A token that is out of the ordinary (escapes, text beyond ASCII, exponents) is
given to msgspec, so that both kernels accept the same.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove

from decimal import Decimal

import msgspec

from oneprice.kernel import contract as _contract
from oneprice.kernel.contract import BadLevels, DepthFormat, OffGrid, Outcome, Sweep

cdef object _decode = msgspec.json.Decoder().decode
cdef tuple _FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

cdef int64_t TICKS_MAX = _contract.TICKS_MAX
cdef int64_t LOTS_MAX = _contract.LOTS_MAX
cdef int DIGITS_MAX = _contract.DIGITS_MAX
cdef int NESTING_MAX = _contract.NESTING_MAX

include "_native_levels.pyx"
include "_native_book.pyx"
include "_native_wires.pyx"
include "_native_sweep.pyx"
include "_native_json.pyx"
include "_native_reader.pyx"
