"""BitMEX's texts for "no" in our words: the venue has no numbers, only HTTP status and a message.

Source: protocol document section 14, table "Errors". Texts are matched by their stable part.
"""

from collections.abc import Mapping

REFUSALS: Mapping[str, str] = {
    "invalid api key": "bad_key",
    "key is disabled": "bad_key",
    "signature not valid": "bad_signature",
    "request has expired": "bad_time",
    "access denied": "no_permission",
    "account is restricted": "no_permission",
    "rate limit exceeded": "rate_limited",
    "currently overloaded": "venue_busy",
    "duplicate clordid": "duplicate_id",
    "insufficient available balance": "insufficient_funds",
    "immediate liquidation": "insufficient_funds",
    "invalid price": "off_grid",
    "invalid orderqty": "off_grid",
    "orderqty is invalid": "off_grid",
    "invalid stoppx": "bad_parameter",
    "invalid symbol": "no_such_instrument",
    "symbol is invalid": "no_such_instrument",
    "invalid orderid": "no_such_order",
    "invalid clordid": "no_such_order",
    "invalid ordstatus": "no_such_order",
    "existing state": "no_such_order",  # "Unable to cancel order due to existing state: Filled"
    "not found": "no_such_order",
    "exceeds position risk limit": "too_large",  # of publicly known text, not in the document
    "too many": "too_large",  # open, stop or contingent orders above their caps
    "participatedonotinitiate": "post_only",
    "reduceonly": "reduce_only",
}

# What the status says where the text says nothing we know (section 14). A status that is not
# here leaves the outcome open.
BY_STATUS: Mapping[int, str] = {
    400: "unknown_code",
    401: "bad_key",
    403: "no_permission",
    404: "bad_parameter",
    429: "rate_limited",
}

# Why an order ended, by a part of its `text`; the first that matches wins.
ENDINGS: Mapping[str, str] = {
    "participatedonotinitiate": "post_only",
    "reduceonly": "reduce_only",
    "immediateorcancel": "expired",
    "fillorkill": "expired",
    "liquidation": "liquidation",
    "settle": "settled",
    "via api": "cancelled",
}


def word(text: str) -> str:
    """Our word for a message, "" where the table has none."""
    lowered = text.lower()
    return next((ours for part, ours in REFUSALS.items() if part in lowered), "")


def ending(text: str) -> str:
    """Our word for why an order was cancelled, "" where the text has no part we know.

    Only the first line counts: below it BitMEX repeats how the order was submitted.
    """
    lowered = text.partition("\n")[0].lower()
    return next((ours for part, ours in ENDINGS.items() if part in lowered), "")
