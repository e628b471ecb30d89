"""Our order ids within OKX's alphabet: 1 to 32 letters and digits, case sensitive.

"Z" begins an escape, so that every id of ours has exactly one spelling there and back.
"""

import re

from oneprice.model.units import OrderId

_CHARS_MAX = 32
_ESCAPES = {"Z": "ZZ", "-": "Zd", "_": "Zu"}
_PLAIN = {escape: char for char, escape in _ESCAPES.items()}
_OURS = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r"Z.|[^Z]")
_THEIRS = re.compile(r"(?:Z[Zdu]|[A-Ya-z0-9])+")


def client_id(order_id: OrderId) -> str:
    """As the venue takes it; ValueError for an id that cannot be carried."""
    if _OURS.fullmatch(order_id) is None:
        raise ValueError(f"order id: expected A-Z a-z 0-9 _ -, found {order_id[:60]!r}")
    text = "".join(_ESCAPES.get(char, char) for char in order_id)
    if len(text) > _CHARS_MAX:
        raise ValueError(f"order id: expected at most {_CHARS_MAX} characters, found {text!r}")
    return text


def order_id(text: str) -> OrderId:
    """As we wrote it; "" for an id that we cannot have written."""
    if _THEIRS.fullmatch(text) is None:
        return ""
    return "".join(_PLAIN.get(token, token) for token in _TOKEN.findall(text))
