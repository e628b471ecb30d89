"""The native kernel has the types of the reference."""

from oneprice.kernel.reference import Book, DepthReader, Tripwires, sweep

__all__ = ["Book", "DepthReader", "Tripwires", "sweep"]
