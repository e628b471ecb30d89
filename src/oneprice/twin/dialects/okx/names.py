"""How this venue spells ids: 19 digits for orders, bills and positions, and the way back."""

import re
import zlib

ORDER_BASE = 2_000_000_000_000_000_000
BILL_BASE = 3_000_000_000_000_000_000
POSITION_BASE = 1_800_000_000_000_000_000
CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
TAG = re.compile(r"[A-Za-z0-9]{1,16}")


def order_name(number: int) -> str:
    return str(ORDER_BASE + number)


def order_number(text: str) -> int:
    """The number behind an order id; 0 where the id is not one of ours."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19:
        return 0
    return max(0, int(text) - ORDER_BASE)


def bill_name(number: int) -> str:
    return str(BILL_BASE + number)


def position_name(account: str, instrument: str, index: int) -> str:
    """The same as long as account, instrument and side are the same."""
    return str(POSITION_BASE + zlib.crc32(f"{account} {instrument} {index}".encode()))


def connection_name(at: int, count: int) -> str:
    """Eight hex digits, different for every connection of a twin."""
    return f"{zlib.crc32(f'{at} {count}'.encode()):08x}"
