"""Binance's ways to say no, and whether a no is certain (protocol reference 3.4 and 13)."""

from collections.abc import Mapping
from enum import Enum

# "spot:code" and "futures:code" decide before "code": one number has two meanings.
# Where one code covers many reasons, "code text" decides before both.
REFUSED: Mapping[str, str] = {
    "-1002": "no_permission",
    "-1003": "rate_limited",
    "-1008": "venue_busy",
    "-1013": "bad_parameter",
    "-1015": "rate_limited",
    "-1016": "not_tradable",
    "-1020": "bad_parameter",
    "-1021": "bad_time",
    "-1022": "bad_signature",
    "-1034": "rate_limited",
    "-1100": "bad_parameter",
    "-1101": "bad_parameter",
    "-1102": "bad_parameter",
    "-1103": "bad_parameter",
    "-1104": "bad_parameter",
    "-1105": "bad_parameter",
    "-1106": "bad_parameter",
    "-1108": "bad_parameter",
    "-1111": "off_grid",
    "-1112": "no_liquidity",
    "-1114": "bad_parameter",
    "-1115": "bad_parameter",
    "-1116": "bad_parameter",
    "-1117": "bad_parameter",
    "-1120": "bad_parameter",
    "-1121": "no_such_instrument",
    "-1122": "not_tradable",
    "-1125": "bad_key",
    "-1127": "bad_parameter",
    "-1128": "bad_parameter",
    "-1130": "bad_parameter",
    "-2011": "no_such_order",
    "-2013": "no_such_order",
    "-2014": "bad_key",
    "-2015": "no_permission",
    "-2017": "no_permission",
    "spot:-2026": "no_such_order",
    "spot:-2038": "bad_parameter",
    "spot:-2039": "bad_parameter",
    "futures:-1001": "venue_busy",
    "futures:-2018": "insufficient_funds",
    "futures:-2019": "insufficient_funds",
    "futures:-2020": "no_liquidity",
    "futures:-2022": "reduce_only",
    "futures:-2023": "not_tradable",
    "futures:-2025": "too_large",
    "futures:-2026": "reduce_only",
    "futures:-2027": "too_large",
    "futures:-2028": "insufficient_funds",
    "futures:-4001": "price_limit",
    "futures:-4002": "price_limit",
    "futures:-4003": "too_small",
    "futures:-4004": "too_small",
    "futures:-4005": "too_large",
    "futures:-4013": "price_limit",
    "futures:-4014": "off_grid",
    "futures:-4015": "bad_parameter",
    "futures:-4016": "price_limit",
    "futures:-4023": "off_grid",
    "futures:-4024": "price_limit",
    "futures:-4028": "bad_parameter",
    "futures:-4046": "not_modified",
    "futures:-4059": "not_modified",
    "futures:-4061": "position_mode",
    "futures:-4062": "position_mode",
    "futures:-4067": "position_mode",
    "futures:-4068": "position_mode",
    "futures:-4087": "reduce_only",
    "futures:-4088": "not_tradable",
    "futures:-4105": "not_tradable",
    "futures:-4106": "not_tradable",
    "futures:-4107": "not_tradable",
    "futures:-4118": "reduce_only",
    "futures:-4120": "bad_parameter",
    "futures:-4131": "price_limit",
    "futures:-4140": "not_tradable",
    "futures:-4141": "not_tradable",
    "futures:-4164": "too_small",
    "futures:-4189": "not_tradable",
    "futures:-4192": "not_tradable",
    "futures:-4400": "not_tradable",
    "futures:-4401": "not_tradable",
    "futures:-4402": "not_tradable",
    "futures:-5021": "no_liquidity",
    "futures:-5022": "post_only",
    "futures:-5026": "too_large",
    "futures:-5027": "not_modified",
    "futures:-5028": "bad_time",
    "futures:-5029": "too_small",
    "futures:-5043": "venue_busy",
    "futures:-5047": "reduce_only",
    "futures:-4531": "position_mode",
    "-1013 Filter failure: PRICE_FILTER": "off_grid",
    "-1013 Filter failure: LOT_SIZE": "off_grid",
    "-1013 Filter failure: NOTIONAL": "too_small",
    "-1013 Filter failure: MIN_NOTIONAL": "too_small",
    "-1013 Filter failure: PERCENT_PRICE": "price_limit",
    "-1013 Filter failure: PERCENT_PRICE_BY_SIDE": "price_limit",
    "-1013 Filter failure: MAX_POSITION": "too_large",
    "-1013 Filter failure: MAX_ASSET": "too_large",
    "-1013 Filter failure: MAX_NUM_ORDERS": "too_large",
    "-1013 Filter failure: EXCHANGE_MAX_NUM_ORDERS": "too_large",
    "-2010 Account has insufficient balance for requested action.": "insufficient_funds",
    "-2010 Order would immediately match and take.": "post_only",
    "-2010 Market is closed.": "not_tradable",
}

# 503 answers that are known to mean "failed" rather than "unknown"; any other one is unknown.
_FAILED_503 = ("Service Unavailable", "Internal error; unable to process your request")

# What stands before the API says no by its status alone: its firewall (403), the door for banned
# addresses (418) and the limiter (429), with a page or nothing where a body of theirs would be
# (section 3.3). What they keep out never came near the orders.
TURNED_AWAY: Mapping[int, str] = {403: "banned", 418: "banned", 429: "rate_limited"}


class Verdict(Enum):
    """What an answer to an order means for the order."""

    DONE = "done"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"


def word(market: str, code: int, text: str) -> str:
    """Our word for the venue's code and text on one product; "unknown_code" where we have none."""
    product = "spot" if market == "spot" else "futures"
    for key in (f"{code} {text}", f"{product}:{code}", str(code)):
        if key in REFUSED:
            return REFUSED[key]
    return "unknown_code"


def verdict(market: str, status: int, code: int, text: str) -> Verdict:
    """Whether an order that was answered so certainly lives not, or nobody knows.

    `status` 0 is no answer, `code` 0 no code that could be read. In doubt it is uncertain: an
    order taken for dead that lives costs more than one question.
    """
    if 200 <= status < 300:
        return Verdict.DONE
    if code == -1008:  # throttled before the engine
        return Verdict.REFUSED
    if code in (-1000, -1006, -1007) or is_duplicate(code, text):
        return Verdict.UNCERTAIN
    if status == 503 and market != "spot" and text.startswith(_FAILED_503):
        return Verdict.REFUSED
    if code == 0 and status in TURNED_AWAY:
        return Verdict.REFUSED
    if status == 408 or status >= 500 or status < 400 or code >= 0 or code == -1001:
        return Verdict.UNCERTAIN
    return Verdict.REFUSED


def is_duplicate(code: int, text: str) -> bool:
    """The id is in use among open orders: what we sent earlier under it lives."""
    return code == -4116 or (code == -2010 and text == "Duplicate order sent.")
