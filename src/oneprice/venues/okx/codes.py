"""OKX's codes for "no" in our words, and those after which nobody knows.

Source: API v5, "Error Code". An item of an order answer carries its own `sCode`, which decides.
"""

from collections.abc import Mapping

REFUSALS: Mapping[str, str] = {
    code: word
    for word, codes in {
        "bad_key": "50101 50103 50105 50106 50107 50111 50119 60005 60009 60024 60032",
        "bad_signature": "50113 60007",
        # 50036 and 50037: it came after the moment we had set for it, and was dropped.
        "bad_time": "50036 50037 50102 50112 60004 60006",
        "no_permission": (
            "50007 50009 50012 50024 50027 50030 50035 50051 50052 50104 50110 50114 50120 51009"
            " 51010 51024 51155 54072 54092 54094 59113 60011 64003"
        ),
        "rate_limited": "50011 50061 51025 51102 51103 51174 51513 60014 60023",
        "bad_parameter": (
            "50014 50015 50016 50038 50053 51000 51003 51111 51506 54036 60008 60012 60013 60018"
            " 60019 64000 64001 64004"
        ),
        "off_grid": "51121 51150",
        "too_small": "51020 51120",
        "too_large": "51004 51005 51101 51202 51203 54030 54031",
        "price_limit": "51006 51116 51135 51136 51137 51138",
        "insufficient_funds": "51008 51119 51127 51131",
        "reduce_only": "51023 51112 51148 51169 51170 51205 51206",
        "post_only": "51511",
        "duplicate_id": "51016 51512",
        "no_such_order": "51400 51503 51603",
        "no_such_instrument": "51001",
        "not_tradable": "51021 51022 51027 51028 51029 51087",
        "position_mode": "51039 59000",
        # 51410: a cancel is under way already. 50023, 51030: funding is being settled.
        "venue_busy": ("50001 50004 50013 50023 50026 51030 51054 51149 51410 51412 63999 64007"),
        # Portfolio margin takes a batch whole or not at all: a sibling failed, nothing was done.
        "unknown_code": "54004",
    }.items()
    for code in codes.split()
}

# The venue says of these that the outcome is unknown, or they come from before its engine while
# it was failing; and "that id is taken" can mean that an earlier copy of the request got through.
UNSURE: frozenset[str] = frozenset(
    ("50001", "50004", "50013", "50026", "51016", "51054", "51149", "51412", "63999", "64007")
)

# Answers to a login, told apart from answers to a subscription.
LOGIN: frozenset[str] = frozenset(
    ("60004", "60005", "60006", "60007", "60009", "60022", "60023", "60024", "60032", "63999")
)


def word(code: str) -> str:
    """Our word for a refusal; "unknown_code" where the table has none."""
    return REFUSALS.get(code, "unknown_code")


def unsure(code: str) -> bool:
    """Whether what was asked may have happened all the same; so for codes we do not know."""
    return code in UNSURE or code not in REFUSALS
