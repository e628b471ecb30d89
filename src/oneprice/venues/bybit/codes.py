"""Bybit's numbers for "no" in our words, and those after which nobody knows.

Source: Bybit v5 docs, "Error Codes" and "WebSocket Trade Guidelines".
"""

from collections.abc import Mapping

REFUSALS: Mapping[str, str] = {
    code: word
    for word, codes in {
        "bad_key": "10003 10007 110018 33004 -2015",
        "bad_signature": "10004",
        "bad_time": "10002",
        "no_permission": "10005 10010 10028 100028 110132",
        "rate_limited": "10006 10018 10403 20003 170005 170222",
        "banned": "10008 10009 10024 10027",
        "bad_parameter": (
            "10001 10017 10404 110019 110032 110064 110092 110093"
            " 170115 170116 170117 170130 170312 170313"
        ),
        "off_grid": "170134 170137 170148",
        "too_small": "110094 170136 170140",
        "too_large": "110013 110090 170124 170341 170381 170382",
        "price_limit": (
            "30208 30209 110003 110120 110121 170132 170133 170193 170194 170371 170372"
        ),
        "insufficient_funds": "110004 110007 110012 110044 110045 170033 170131",
        "reduce_only": "110017 110022 110023 110042",
        "post_only": "110103 170217 170218",
        "no_liquidity": "110118",
        "duplicate_id": "10014 20006 110072 170141",
        "no_such_order": "110001 110008 110010 170139 170142 170143 170190 170213",
        "no_such_instrument": "10029 170121",
        "not_tradable": (
            "30228 110009 110020 110021 110063 110066 110074 110131 110135 110136 110137"
            " 170151 170157 170159 170210 170344 170810"
        ),
        "position_mode": "110024 110028 110029 3400045",
        "venue_busy": (
            "429 10000 10016 10019 10429 40004 110079 170007 170146 170147 170310 170311"
        ),
        "not_modified": "34040 110025 110026 110027 110043",
    }.items()
    for code in codes.split()
}

# After these an order may live: timeouts, restarts, overload, and "that id is taken", which can
# mean that an earlier copy of the very same request got through. The venue must be asked.
UNSURE: frozenset[int] = frozenset(
    int(code) for code, reason in REFUSALS.items() if reason in ("duplicate_id", "venue_busy")
)

# 10001 is a basket; these pieces of its text say which case it is (field reports, not promised).
_BASKET = (
    ("position idx not match", "position_mode"),
    ("not supported symbol", "no_such_instrument"),
    ("symbol invalid", "no_such_instrument"),
)


def word(code: int, text: str) -> str:
    """Our word for a refusal; "unknown_code" where the table has none."""
    if code == 10001:
        lowered = text.lower()
        for piece, meaning in _BASKET:
            if piece in lowered:
                return meaning
    return REFUSALS.get(str(code), "unknown_code")


# HTTP says no before the venue's own envelope does (docs, "HTTP status codes").
HTTP_REFUSALS: Mapping[int, str] = {
    400: "bad_parameter",
    401: "bad_key",
    403: "banned",
    404: "bad_parameter",
}
