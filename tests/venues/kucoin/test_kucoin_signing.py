"""The signature vectors of the documents, and that no secret is shown."""

import msgspec
import pytest

from oneprice.venues.contract import Credentials, Request
from oneprice.venues.kucoin.orders import KucoinSettings
from oneprice.venues.kucoin.trade import KucoinTrade

KEYS = Credentials("TESTKEY01", "TESTSECRET0123456789ABCDEF", "mypassphrase")
VENUE_MS = 1_767_323_045_678
ORDER = (
    b'{"clientOid":"arb-1","symbol":"BTC-USDT","side":"buy","type":"limit",'
    b'"price":"90000","size":"0.001"}'
)


def signed(request: Request, settings: KucoinSettings | None = None) -> dict[str, str]:
    trade = KucoinTrade(KEYS, {}, settings)
    return dict(trade.sign(request, VENUE_MS).headers)


def test_the_signature_covers_time_method_path_and_query() -> None:
    call = Request(tag="x", path="/api/v1/accounts", query="currency=USDT", signed=True)
    headers = signed(call)
    assert headers["KC-API-SIGN"] == "h3i5tNgNjEx+pzTMpfdyeg+Ehaben4Y7MQI0vS91Iow="
    assert headers["KC-API-TIMESTAMP"] == str(VENUE_MS)
    assert headers["KC-API-KEY"] == "TESTKEY01" and headers["KC-API-KEY-VERSION"] == "3"
    assert headers["KC-API-PASSPHRASE"] == "Tme/7O3xUu4J6ofoRebmHz4B1+cDHqUkIVOKClMSgQI="


def test_the_signature_covers_the_body_as_sent() -> None:
    call = Request(
        tag="x", method="POST", path="/api/v1/hf/orders", body=ORDER, signed=True,
        headers=(("Content-Type", "application/json"),),
    )  # fmt: skip
    headers = signed(call, KucoinSettings(key_version="2"))
    assert headers["KC-API-SIGN"] == "hrmVemaeylG2UAf68dtI4Grn4jfoHv1+uq+JXoLiQMA="
    assert headers["KC-API-KEY-VERSION"] == "2"
    assert headers["Content-Type"] == "application/json"


def test_what_needs_no_signature_is_left_as_it_is() -> None:
    call = Request(tag="clock", path="/api/v1/timestamp")
    assert KucoinTrade(KEYS, {}).sign(call, VENUE_MS) is call


@pytest.mark.parametrize("secret", ["TESTSECRET0123456789ABCDEF", "mypassphrase"])
def test_no_secret_is_in_a_repr(secret: str) -> None:
    trade = KucoinTrade(KEYS, {})
    call = Request(tag="x", path="/api/v1/accounts", signed=True)
    shown = f"{trade!r} {KEYS!r} {trade.sign(call, VENUE_MS)!r} {trade._signer!r}"
    assert secret not in shown
    assert secret.encode() not in msgspec.json.encode(trade.sign(call, VENUE_MS))
