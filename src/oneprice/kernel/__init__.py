"""Order books, sequence proofs, tripwires and sweeps: native where built, else plain Python.

`NAME` says which kernel serves ("native" or "reference"). Both have the same names and the same
behaviour to the last bit (one test-suite, and a fuzz that compares `Book.fingerprint` after every
message). Setting the environment variable ONEPRICE_KERNEL to "reference" chooses the plain one.
"""

import os
from typing import TYPE_CHECKING, Final

from oneprice.kernel.contract import BadLevels, DepthFormat, OffGrid, Outcome, Sweep

if TYPE_CHECKING:
    from oneprice.kernel.reference import Book, DepthReader, Tripwires, sweep

    NAME: Final[str] = "reference"
else:
    try:
        if os.environ.get("ONEPRICE_KERNEL") == "reference":
            raise ImportError("the reference kernel was asked for")
        from oneprice.kernel._native import Book, DepthReader, Tripwires, sweep

        NAME = "native"
    except ImportError:
        from oneprice.kernel.reference import Book, DepthReader, Tripwires, sweep

        NAME = "reference"

__all__ = [
    "NAME",
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
