"""The kernel in plain Python: oracle of the native one, and its stand-in without a compiler."""

from oneprice.kernel.contract import (
    BadLevels,
    DepthFormat,
    OffGrid,
    Outcome,
    Sweep,
)
from oneprice.kernel.reference.book import Book
from oneprice.kernel.reference.reader import DepthReader
from oneprice.kernel.reference.sweep import sweep
from oneprice.kernel.reference.wires import Tripwires

__all__ = [
    "BadLevels",
    "Book",
    "DepthFormat",
    "DepthReader",
    "OffGrid",
    "Outcome",
    "Sweep",
    "Tripwires",
    "sweep",
]
