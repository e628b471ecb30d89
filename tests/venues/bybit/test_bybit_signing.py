"""Signatures against vectors of the protocol document and of a client we did not write."""

import msgspec
import pytest

from oneprice.kernel import Tripwires
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import Credentials, Request

MS = 1_790_000_000_000


def trade(key: str = "simkey0001", secret: str = "simsecret0001", **settings: int) -> BybitTrade:
    listed = BybitFeed(Tripwires()).listed
    return BybitTrade(Credentials(key, secret), listed, BybitSettings(**settings))


def test_a_question_is_signed_as_the_document_says() -> None:
    query = "category=linear&symbol=BTCUSDT"
    asked = Request(tag="query", host="rest", path="/v5/x", query=query, signed=True)
    headers = dict(trade().sign(asked, MS).headers)
    assert headers["X-BAPI-SIGN"] == (
        "5bdc6f363e0e722fc0bc289642f3c65c54800ede753b24a56a7bead6297c5c8a"
    )
    assert headers["X-BAPI-TIMESTAMP"] == str(MS)
    assert headers["X-BAPI-RECV-WINDOW"] == "5000"


def test_a_posted_body_is_signed_byte_by_byte() -> None:
    body = (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.010",'
        b'"price":"60000.0","timeInForce":"PostOnly","orderLinkId":"arb-0001"}'
    )
    asked = Request(tag="place:arb-0001", host="rest", method="POST", body=body, signed=True)
    signed = trade(order_window_ms=5000).sign(asked, MS)
    assert dict(signed.headers)["X-BAPI-SIGN"] == (
        "d7c4b21a310ef340bf2022022aca5c709858164bad8cdefd4d4268d437b0e00f"
    )
    assert signed.body == body


@pytest.mark.parametrize(
    ("key", "secret", "now", "expires", "signature"),
    [
        (
            "simkey0001",
            "simsecret0001",
            MS,
            MS + 10_000,
            "a71e5a8939ec1a9a28aae2e1639cf90bc165830cdc97809c9ef412aca6154007",
        ),
        (
            "test_api_key",
            "test_secret",
            1_699_999_990_000,
            1_700_000_000_000,
            "bacffe7500499eb829bb58c45d36d1b3e5ac67c14eaeba91df5e99ccee013925",
        ),
    ],
)
def test_a_login_is_signed_for_a_moment_ahead(
    key: str, secret: str, now: int, expires: int, signature: str
) -> None:
    venue = trade(key, secret, login_ahead_ms=10_000)
    frame = msgspec.json.decode(venue.sign(venue.login("private")[0], now).body)
    assert frame["args"] == [key, expires, signature]


def test_the_vector_of_a_strangers_client_holds() -> None:
    query = "category=linear&symbol=BTCUSDT"
    asked = Request(tag="query", host="rest", query=query, signed=True)
    signed = trade("test_api_key", "test_secret").sign(asked, 1_700_000_000_000)
    assert dict(signed.headers)["X-BAPI-SIGN"] == (
        "fd4f31228a46109dc6673062328693696df9a96c7ff04e6491a45e7f63a0fdd7"
    )


def test_a_login_expires_at_least_ten_seconds_ahead() -> None:
    venue = trade()
    for socket in ("private", "trade"):
        frame = msgspec.json.decode(venue.sign(venue.login(socket)[0], MS).body)
        assert frame["args"][1] >= MS + 10_000


def test_secrets_show_in_no_repr() -> None:
    venue = trade()
    assert "simsecret0001" not in f"{venue!r} {vars(venue)!r}"
