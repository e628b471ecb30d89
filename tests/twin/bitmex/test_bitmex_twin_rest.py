"""REST of the BitMEX twin: keys, limits, errors, instruments and public tables."""

import asyncio
import hashlib
import hmac
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest

from oneprice.twin.dialects.bitmex.auth import signature
from oneprice.twin.dialects.bitmex.envelope import iso
from oneprice.twin.dialects.bitmex.limits import Bucket, Limited, Limiter

SECOND = 1_000_000_000


# Keys -------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_documents() -> None:
    secret, stamp = "TESTSECRET0123456789ABCDEF", "1767323105"
    path = "/api/v1/position?filter=%7B%22symbol%22%3A%22XBTUSD%22%7D"
    body = (
        b'{"symbol":"XBTUSD","side":"Buy","orderQty":100,"price":90000,"ordType":"Limit",'
        b'"clOrdID":"arb-1"}'
    )
    assert signature(secret, "GET", path, stamp).startswith("61a4c5401dba3e5933d3b7bcf67eb6fe")
    assert signature(secret, "POST", "/api/v1/order", stamp, body).startswith("b97479c6149f3c25")
    assert signature(secret, "GET", "/realtime", stamp).startswith("3f5967dbb4177863")


NOBODIES: list[tuple[dict[str, str], int, str]] = [
    ({"key": "nobody"}, 401, "Invalid API Key."),
    ({"secret": "wrong"}, 401, "Signature not valid."),
    ({"expires": "1767323105"}, 400, "This request has expired - `expires` is in the past."),
    ({"expires": "soon"}, 401, "api-expires is missing"),
    ({"anonymous": "yes"}, 401, "Authorization Required"),
    ({"key": "bound"}, 403, "This IP address is not allowed to use this API key."),
]


async def test_refuses_who_cannot_prove_a_key(venue: Any) -> None:
    for changed, status, message in NOBODIES:
        body = await venue.ask("GET", "/position", **changed)
        assert (venue.status, body["error"]["name"]) == (status, "HTTPError")
        assert body["error"]["message"].startswith(message)


async def test_a_disabled_key_and_a_reading_key_are_told_so(venue: Any) -> None:
    venue.surface.disable_key("mexkey0001")
    body = await venue.get("/user")
    assert (venue.status, body["error"]["message"]) == (401, "This key is disabled.")
    await venue.ask("GET", "/user", key="reader")
    assert venue.status == 200
    body = await venue.ask("POST", "/order", {"symbol": "XBTUSD"}, key="reader")
    assert (venue.status, body["error"]["message"]) == (403, "Access Denied")


async def test_an_old_nonce_must_rise(venue: Any) -> None:
    def headers(nonce: int) -> dict[str, str]:
        text = f"GET/api/v1/user{nonce}"
        sign = hmac.new(b"mexsecret0001", text.encode(), hashlib.sha256).hexdigest()
        return {"api-key": "mexkey0001", "api-nonce": str(nonce), "api-signature": sign}

    url = f"{venue.running.rest}/api/v1/user"
    for nonce, status in ((100, 200), (100, 401), (101, 200)):
        async with venue.session.get(url, headers=headers(nonce)) as answer:
            assert answer.status == status


async def test_paths_fields_and_bodies_that_do_not_exist_are_named(venue: Any) -> None:
    body = await venue.get("/nonsense")
    assert (venue.status, body["error"]["message"]) == (404, "Not Found")
    status, message = await venue.refusal(reduceOnly=True)
    assert (status, message.startswith('Unrecognized field "reduceOnly"')) == (400, True)
    body = await venue.get("/order", filter="{nonsense")
    assert (venue.status, body["error"]["name"]) == (400, "ValidationError")


async def test_the_date_header_is_the_clock_of_the_venue(venue: Any) -> None:
    venue.clock.offset += 3600 * SECOND
    await venue.get("")
    told = parsedate_to_datetime(venue.headers["Date"]).timestamp()
    assert abs(told - venue.seconds()) <= 1


# Limits -----------------------------------------------------------------------------------------


def test_a_bucket_refills_continuously() -> None:
    bucket = Bucket(10, SECOND)
    assert all(bucket.take("a", 0).granted for _ in range(10))
    assert not bucket.take("a", 99_000_000).granted
    assert bucket.take("a", 100_000_000).granted
    assert bucket.take("b", 0).remaining == 9


def test_the_limiter_counts_keys_addresses_and_orders_apart_and_bans_the_deaf() -> None:
    limiter = Limiter()
    headers = [limiter.charge("k", "1.1.1.1", "POST /order", 0) for _ in range(10)][-1]
    assert headers["x-ratelimit-limit"] == "120" and headers["x-ratelimit-remaining"] == "110"
    assert headers["x-ratelimit-remaining-1s"] == "0"
    with pytest.raises(Limited) as refused:
        limiter.charge("k", "1.1.1.1", "PUT /order", 0)
    assert refused.value.headers["Retry-After"] == "1"
    assert "x-ratelimit-remaining-1s" not in limiter.charge("k", "1.1.1.1", "GET /order", 0)
    for _ in range(30):
        limiter.charge("", "2.2.2.2", "GET /trade", 0)
    for _ in range(21):
        with pytest.raises(Limited):
            limiter.charge("", "2.2.2.2", "GET /trade", 0)
    assert limiter.banned("2.2.2.2", 3599 * SECOND) and not limiter.banned("1.1.1.1", 0)
    assert not limiter.banned("2.2.2.2", 3600 * SECOND)
    limiter.ban("2.2.2.2", 3600 * SECOND)
    assert limiter.banned("2.2.2.2", 6 * 24 * 3600 * SECOND)


async def test_too_many_orders_a_second_wait_and_a_ban_is_a_page(venue: Any) -> None:
    venue.surface.limiter.resize(1)
    bodies = [await venue.ask("DELETE", "/order/all") for _ in range(12)]
    assert venue.status == 429 and venue.headers["Retry-After"] == "1"
    assert venue.headers["x-ratelimit-remaining-1s"] == "0"
    assert bodies[-1]["error"]["message"] == "Rate limit exceeded, retry in 1 seconds."
    assert bodies[-1]["error"]["name"] == "RateLimitError"
    venue.surface.limiter.ban("127.0.0.1", venue.clock())
    page = await venue.get("/order")
    assert venue.status == 403 and "blocked" in page
    venue.surface.limiter.lift_bans()
    await venue.get("/order")
    assert venue.status == 200


async def test_load_shedding_never_executes_and_spares_cancels(venue: Any) -> None:
    faults = venue.running.twin.faults
    faults.arm("error_before", 1)
    status, message = await venue.refusal(price=await venue.below())
    assert status == 503
    assert message == "The system is currently overloaded. Please try again later."
    assert await venue.get("/order") == []
    faults.arm("error_after", 1)
    status, message = await venue.refusal(price=await venue.below())
    assert (status, message) == (500, "Server Error")
    assert len(await venue.get("/order", filter='{"open":true}')) == 1
    faults.arm("error_before", 1)
    body = await venue.ask("DELETE", "/order/all")
    assert (venue.status, body["error"]["message"]) == (500, "Server Error")


# Instruments and public tables ------------------------------------------------------------------


async def test_instruments_tell_their_contracts(venue: Any) -> None:
    rows = {row["symbol"]: row for row in await venue.get("/instrument/active")}
    inverse, quanto, linear = rows["XBTUSD"], rows["ETHUSD"], rows["XBTUSDT"]
    dated = next(row for row in rows.values() if row["typ"] == "FFCCSX")
    assert (inverse["multiplier"], inverse["isInverse"]) == (-100_000_000, True)
    assert (quanto["multiplier"], quanto["isQuanto"]) == (100, True)
    assert quanto["settlCurrency"] == "XBt"
    assert linear["underlyingToPositionMultiplier"] == 1_000_000
    assert linear["quoteToSettleMultiplier"] == linear["underlyingToPositionMultiplier"]
    assert linear["multiplier"] == 1 and linear["settlCurrency"] == "USDt"
    assert quanto["makerFee"] < 0 < quanto["takerFee"]
    assert dated["expiry"].endswith("T12:00:00.000Z") and dated["fundingRate"] is None
    assert inverse["fundingInterval"] == "2000-01-01T00:01:00.000Z"
    assert {row["state"] for row in rows.values()} == {"Open"}


async def test_mark_price_is_index_and_what_is_left_of_the_funding_rate(venue: Any) -> None:
    row = (await venue.get("/instrument", symbol="XBTUSD"))[0]
    basis = row["markPrice"] - row["indicativeSettlePrice"]
    assert abs(basis - row["fairBasis"]) <= Decimal("0.001")
    assert row["markPrice"] == row["fairPrice"] and row["markMethod"] == "FairPrice"
    assert abs(row["openValue"] - row["openInterest"] * 10**8 / row["markPrice"]) < 10**7


async def test_tables_are_filtered_narrowed_turned_and_paged(venue: Any) -> None:
    rows = await venue.get("/trade", symbol="XBTUSD", count=1000)
    while len(rows) < 2:
        await asyncio.sleep(0.1)
        rows = await venue.get("/trade", symbol="XBTUSD", count=1000)
    newest = await venue.get("/trade", symbol="XBTUSD", count=2, reverse="true")
    assert newest[0] == rows[-1] or newest[0]["timestamp"] >= rows[-1]["timestamp"]
    second = await venue.get("/trade", symbol="XBTUSD", count=1, start=1)
    assert second == rows[1:2]
    sells = await venue.get("/trade", symbol="XBTUSD", filter='{"side":"Sell"}')
    assert {row["side"] for row in sells} <= {"Sell"}
    slim = await venue.get("/trade", symbol="XBTUSD", columns='["price"]', count=1)
    assert sorted(slim[0]) == ["price", "symbol"]
    late = await venue.get("/trade", symbol="XBTUSD", startTime=rows[1]["timestamp"], count=1)
    assert late[0]["timestamp"] == rows[1]["timestamp"]
    assert "error" in await venue.get("/trade", count=1001)
    assert {row["symbol"] for row in await venue.get("/trade", symbol="XBT:perpetual")} <= {
        "XBTUSD",
        "XBTUSDT",
    }


async def test_trades_are_worth_whole_satoshi_by_the_lot(venue: Any) -> None:
    row = (await venue.get("/trade", symbol="XBTUSD", count=1, reverse="true"))[0]
    lot = (Decimal(10**10) / row["price"]).to_integral_value()
    assert row["grossValue"] == lot * row["size"] // 100
    assert row["homeNotional"] == Decimal(row["grossValue"]).scaleb(-8)
    assert row["foreignNotional"] == row["size"]


async def test_bins_carry_their_end_and_open_at_the_close_before(venue: Any) -> None:
    rows = await venue.get("/trade/bucketed", symbol="XBTUSD", binSize="1m", count=5,
                           reverse="true")  # fmt: skip
    assert [row["timestamp"][17:] for row in rows] == ["00.000Z"] * 5
    ends = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    assert all((a - b).total_seconds() == 60 for a, b in pairwise(ends))
    assert ends[0].timestamp() <= venue.seconds()
    assert all(a["open"] == b["close"] for a, b in pairwise(rows))
    assert all(row["low"] <= row["open"] <= row["high"] for row in rows)
    old = await venue.get("/trade/bucketed", symbol="XBTUSD", binSize="1h", count=2,
                          startTime=rows[0]["timestamp"][:10])  # fmt: skip
    assert old[0]["timestamp"] == rows[0]["timestamp"][:10] + "T00:00:00.000Z"
    running = await venue.get("/trade/bucketed", symbol="XBTUSD", binSize="1d", partial="true",
                              count=1, reverse="true")  # fmt: skip
    assert datetime.fromisoformat(running[0]["timestamp"]).timestamp() > venue.seconds()


async def test_other_public_tables_answer(venue: Any) -> None:
    book = await venue.get("/orderBook/L2", symbol="XBTUSD", depth=3)
    assert [row["side"] for row in book] == ["Sell"] * 3 + ["Buy"] * 3
    assert [row["price"] for row in book] == sorted((r["price"] for r in book), reverse=True)
    whole = await venue.get("/orderBook/L2", symbol="XBTUSD", depth=0)
    assert len(whole) > 50 and [row["id"] for row in whole] == sorted(row["id"] for row in whole)
    assert (await venue.get("/quote", symbol="XBTUSD", reverse="true", count=1))[0]["bidSize"] > 0
    history = await venue.get("/funding", symbol="XBTUSD", count=3, reverse="true")
    assert len(history) == 3 and "fundingRate" in history[0]
    index = await venue.get("/trade", symbol=".BXBT", count=2)
    assert {row["size"] for row in index} == {0}
    everything = await venue.get("/trade", symbol=".BXBT", count=1000)
    stamps = [row["timestamp"] for row in everything]
    assert stamps == sorted(set(stamps))
    (bar,) = venue.exchange.candles("bitmex:derivatives:XBTUSD", "index", 60_000, limit=2)[:1]
    minute = iso(bar.start_ms * 10**6)[:16]
    newest = await venue.get("/trade", symbol=".BXBT", count=12, reverse="true")
    told = [row["price"] for row in newest if row["timestamp"].startswith(minute)]
    assert (told[-1], max(told), min(told), told[0]) == (bar.open, bar.high, bar.low, bar.close)
    names = [row["symbol"] for row in await venue.get("/instrument/indices")]
    assert ".BXBT" in names and ".BETH" in names
    parts = await venue.get("/instrument/compositeIndex", symbol=".BXBT", count=2, reverse="true")
    assert {row["reference"] for row in parts} == {"CBSE", "BMI"}
    assert (await venue.get("/wallet/assets"))[0]["scale"] == 8
    assert "XBT:perpetual" in (await venue.get("/instrument/activeIntervals"))["intervals"]
    assert (await venue.get(""))["timestamp"] // 1000 - venue.seconds() in (-1, 0)
    assert await venue.get("/settlement") == [] and await venue.get("/liquidation") == []
    assert isinstance(await venue.get("/insurance"), list)
