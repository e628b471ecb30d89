"""Signatures, the time rule and parameters, against the venue's published examples."""

import pytest

from oneprice.model.units import MILLI
from oneprice.twin.dialects.binance import calls
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied

SECRET = "simsecret0001"
NOW_MS = 1_790_000_000_000


def call(product: str = "spot", **params: str) -> Call:
    return Call(product=product, name="GET /x", params=params, at=NOW_MS * MILLI)


@pytest.mark.parametrize(
    ("payload", "secret", "signature"),
    [
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=60000"
            "&recvWindow=5000&timestamp=1790000000000",
            SECRET,
            "ebb193113fb827defebe533052ccab3468fe467a18876b9070e6d7f301ee09f1",
        ),
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
            "&recvWindow=5000&timestamp=1499827319559",
            "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            "apiKey=simkey0001&timestamp=1790000000000",
            SECRET,
            "a99beab7f72062e1662fbe1aea091cff6490a0368ab0e1017b353e07a36f170f",
        ),
    ],
)
def test_published_signatures_are_accepted_in_either_case(
    payload: str, secret: str, signature: str
) -> None:
    calls.check_signature(payload, signature, secret)
    calls.check_signature(payload, signature.upper(), secret)
    with pytest.raises(Denied, match="-1022"):
        calls.check_signature(payload + " ", signature, secret)


def test_query_and_body_are_joined_without_a_separator() -> None:
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=0.01&price=60000&recvWindow=5000&timestamp=1790000000000&signature=zz"
    calls.check_signature(
        calls.rest_payload(query, body),
        "62e0b5fb538121065b31189dc48796bf8b1dca2dccfe79463cf9c97932a811b7",
        SECRET,
    )


def test_websocket_parameters_are_sorted_and_include_the_key() -> None:
    params = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01",
        "price": "60000",
        "recvWindow": 5000,
        "timestamp": 1790000000000,
        "apiKey": "simkey0001",
        "signature": "left out",
    }
    calls.check_signature(
        calls.ws_payload(params),
        "331e528c7579b4e9a7a426dc5cafb290692a395ffc3f5f93465b640f18077db4",
        SECRET,
    )


@pytest.mark.parametrize(
    ("sent", "window", "refusal"),
    [
        (NOW_MS, "", ""),
        (NOW_MS - 5_000, "", ""),
        (NOW_MS - 5_001, "", "outside of the recvWindow"),
        (NOW_MS - 30_000, "60000", ""),
        (NOW_MS + 999, "", ""),
        (NOW_MS + 1_000, "", "ahead of the server"),
        (NOW_MS, "60001", "-1131"),
        ((NOW_MS - 4_000) * 1_000, "", ""),  # microseconds, which spot takes
    ],
)
def test_the_time_rule_has_these_edges(sent: int, window: str, refusal: str) -> None:
    asked = call(timestamp=str(sent), recvWindow=window)
    if not refusal:
        calls.check_time(asked)
        return
    with pytest.raises(Denied, match=refusal):
        calls.check_time(asked)


def test_a_repeated_key_counts_from_the_query() -> None:
    merged = calls.parse_form("a=body&b=2") | calls.parse_form("a=query&c=%5B1%2C2%5D")
    assert merged == {"a": "query", "b": "2", "c": "[1,2]"}


@pytest.mark.parametrize("text", ["abc", "1e", "NaN", "Infinity"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Denied, match="-1100"):
        call(quantity=text).decimal("quantity")
