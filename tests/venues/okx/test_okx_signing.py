"""Signatures equal the documented ones, and secrets are shown to nobody."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.venues.contract import Credentials, Request
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.ids import client_id, order_id
from oneprice.venues.okx.orders import OkxSettings
from oneprice.venues.okx.rest import iso
from oneprice.venues.okx.trade import OkxTrade

STAMP_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
KEYS = Credentials("key1", "TESTSECRET0123456789ABCDEF", "phrase1")


def new_trade(**settings: object) -> OkxTrade:
    feed = OkxFeed(Tripwires())
    return OkxTrade(KEYS, feed.listed, feed.details, OkxSettings(**settings))  # type: ignore[arg-type]


def headers(request: Request) -> dict[str, str]:
    return dict(request.headers)


def test_a_question_is_signed_over_stamp_method_path_and_query() -> None:
    request = Request(
        tag="x", host="rest", path="/api/v5/account/balance", query="ccy=BTC", signed=True
    )
    assert headers(new_trade().sign(request, STAMP_MS)) == {
        "OK-ACCESS-KEY": "key1",
        "OK-ACCESS-SIGN": "uAjkLRCamTvRJ6kmw6W8VhE1XjupNPzZ1S67HcGiYSA=",
        "OK-ACCESS-TIMESTAMP": "2026-01-02T03:04:05.678Z",
        "OK-ACCESS-PASSPHRASE": "phrase1",
    }


def test_an_order_is_signed_over_its_body_and_expires_soon_after_the_stamp() -> None:
    body = (
        b'{"instId":"BTC-USDT-SWAP","tdMode":"cross","side":"buy","ordType":"limit",'
        b'"px":"90000","sz":"0.01","clOrdId":"arb1"}'
    )
    request = Request(
        tag="place:arb1", host="rest", method="POST", path="/api/v5/trade/order", body=body,
        signed=True,
    )  # fmt: skip
    found = headers(new_trade().sign(request, STAMP_MS))
    assert found["OK-ACCESS-SIGN"] == "q6YEMkW2o1Atxl+eL+mEw9DuY1MyASJbTRdq9u83GUo="
    assert found["expTime"] == str(STAMP_MS + 2_000)
    assert "expTime" not in headers(new_trade(order_window_ms=0).sign(request, STAMP_MS))
    demo = headers(new_trade(demo=True).sign(request, STAMP_MS))
    assert demo["x-simulated-trading"] == "1"


def test_a_login_is_signed_over_the_second() -> None:
    trade = new_trade()
    login, subscribe = trade.login("private")
    frame = msgspec.json.decode(trade.sign(login, STAMP_MS).body)
    assert frame == {
        "op": "login",
        "args": [
            {
                "apiKey": "key1",
                "passphrase": "phrase1",
                "timestamp": "1767323045",
                "sign": "zNgIVN86pb+jcCqexl9ri7dNgKykaSOFvOax1EjIPqo=",
            }
        ],
    }
    assert trade.sign(subscribe, STAMP_MS) is subscribe


def test_no_secret_is_shown() -> None:
    trade = new_trade()
    for shown in (repr(trade), repr(vars(trade)["_signer"]), repr(KEYS)):
        assert "TESTSECRET" not in shown
        assert "phrase1" not in shown


@pytest.mark.parametrize(
    ("epoch_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
        (1_798_761_599_001, "2026-12-31T23:59:59.001Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ],
)
def test_moments_are_written_as_dates(epoch_ms: int, text: str) -> None:
    assert iso(epoch_ms) == text


@given(st.text(st.sampled_from("aZzdu-_019"), min_size=1, max_size=16))
def test_every_id_of_ours_comes_back_as_it_was_and_is_letters_and_digits(name: str) -> None:
    text = client_id(name)
    assert text.isascii()
    assert text.isalnum()
    assert len(text) <= 32
    assert order_id(text) == name


def test_ids_that_cannot_be_carried_are_refused_and_those_of_others_are_not_ours() -> None:
    assert client_id("o1a2b3c-000017-00-0") == "o1a2b3cZd000017Zd00Zd0"
    for name in ("", "a b", "ä", "a" * 33, "Z" * 17, "a\n"):
        with pytest.raises(ValueError, match="order id"):
            client_id(name)
    assert [order_id(text) for text in ("", "aZ", "Zx1", "a-b")] == ["", "", "", ""]
    assert order_id("e847386590ce4dBC19b5822863cbcdcc") == "e847386590ce4dBC19b5822863cbcdcc"


@pytest.mark.parametrize(
    "wrong",
    [
        {"self_trade": "none"},
        {"dead_man_ms": 5_000},
        {"dead_man_ms": 200_000},
        {"tag": "no-hyphens"},
        {"tag": "a" * 17},
    ],
)
def test_settings_that_the_venue_does_not_have_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        new_trade(**wrong)
