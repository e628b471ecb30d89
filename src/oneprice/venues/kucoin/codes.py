"""KuCoin's codes for "no" in our words, and those after which nobody knows.

Source: KuCoin API docs, "Error codes" of spot and futures; texts from field reports (ccxt).
"""

import re
from collections.abc import Mapping

DONE = "200000"

REFUSALS: Mapping[str, str] = {
    code: word
    for word, codes in {
        "bad_key": "400001 400003 400004",
        "bad_signature": "400005",
        "bad_time": "400002",
        "no_permission": "400006 400007 400008 400200 400303 400500 411100 112010 116104",
        "rate_limited": "429000 200002",
        "bad_parameter": "400100 404000 415000 300000 100001 100040 300016 200001 200003 200009",
        "too_small": "600100 600101",
        "too_large": "400350 300001 300004 300005",
        "price_limit": "400370 300006 300007 300011 300012 126022",
        "insufficient_funds": "200004 230003 210021 300003 126013",
        "reduce_only": "300009 300010",
        "no_liquidity": "300008 300013",
        "duplicate_id": "300018 126033 126044",
        "no_such_order": "100004",
        "not_tradable": "300002 300014 300015 400600",
        "position_mode": "330005 330012",
        "venue_busy": "500000",
    }.items()
    for code in codes.split()
}

# After these an order may live: an internal error, or "that id is taken", which can mean that an
# earlier copy of the very same request got through. The venue must be asked.
UNSURE = frozenset(c for c, word in REFUSALS.items() if word in ("duplicate_id", "venue_busy"))

# 400100 and 100001 are baskets, and items of a batch have a text and no code at all; the texts
# vary and are not promised, so only their bones are looked for.
_BASKETS = frozenset(("400100", "100001", "200003", ""))
_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"order[ _]?(does[ _])?not[ _]?exist|order[ _]not[ _]found", "no_such_order"),
        (r"client.?oid.*(duplicat|repeat|exist|used)|duplicat.*client.?oid", "duplicate_id"),
        (r"available\.?amount|balance.*not enough|insufficient", "insufficient_funds"),
        (r"(symbol|contract).*(not exist|not found|invalid)", "no_such_instrument"),
        (r"unsupported trading pair", "no_such_instrument"),
        (r"below the minimum|too small|less than the minimum", "too_small"),
        (r"exceed.*max|above the maximum|too large", "too_large"),
        (r"increment", "off_grid"),
        (r"post.?only", "post_only"),
    )
)


def word(code: str, text: str) -> str:
    """Our word for a refusal; "unknown_code" where neither table nor text has one."""
    if code in _BASKETS:
        lowered = text.lower()
        for pattern, meaning in _TEXTS:
            if pattern.search(lowered):
                return meaning
    return REFUSALS.get(code, "unknown_code")


def unsure(code: str, meaning: str) -> bool:
    """Whether an order may live although the venue said no in this way."""
    return code in UNSURE or meaning in ("unknown_code", "duplicate_id", "venue_busy")
