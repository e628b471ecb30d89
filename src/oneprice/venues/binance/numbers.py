"""Reading the venue's decimal texts without trusting them."""

import re
from decimal import Decimal

import msgspec

# Plain decimals only: an exponent could name a number that takes minutes to write down.
_DECIMAL = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,24})?")

# What reading a frame or an answer may raise; none of it leaves the dialect.
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, KeyError, RecursionError)


def decimal(text: str) -> Decimal:
    """The number in a plain decimal text; ValueError for anything else."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"number: expected plain decimal digits, found {text[:30]!r}")
    return Decimal(text)
