"""The door of the KuCoin twin: signatures, permissions, quotas, paths, the two products."""

import base64
import json
from typing import Any

import pytest
from yarl import URL

from oneprice.twin.dialects.kucoin import auth
from oneprice.twin.dialects.kucoin.limits import Limiter, PoolName


def test_signs_as_the_vectors_of_the_document() -> None:
    secret, stamp = "TESTSECRET0123456789ABCDEF", "1767323045678"
    query = f"{stamp}GET/api/v1/accounts?currency=USDT"
    assert auth.signature(secret, query) == "h3i5tNgNjEx+pzTMpfdyeg+Ehaben4Y7MQI0vS91Iow="
    body = (
        '{"clientOid":"arb-1","symbol":"BTC-USDT","side":"buy","type":"limit",'
        '"price":"90000","size":"0.001"}'
    )
    posted = f"{stamp}POST/api/v1/hf/orders{body}"
    assert auth.signature(secret, posted) == "hrmVemaeylG2UAf68dtI4Grn4jfoHv1+uq+JXoLiQMA="
    assert auth.signature(secret, "mypassphrase") == "Tme/7O3xUu4J6ofoRebmHz4B1+cDHqUkIVOKClMSgQI="
    socket = auth.signature(secret, f"TESTKEY01{stamp}")
    assert socket == "o9SG4lE3DpkW3kwzBNQkIgbWeDiRtel6fWHBTd7KQyU="


@pytest.mark.parametrize(
    ("changed", "code", "status"),
    [
        ({"key": "nobody"}, "400003", 401),
        ({"stamp": "1767323045678"}, "400002", 400),
        ({"stamp": "soon"}, "400002", 400),
        ({"version": "1"}, "400008", 400),
        ({"phrase": "wrong"}, "400004", 401),
        ({"key": "bound"}, "400006", 403),
    ],
)
async def test_turns_away_who_is_not_who_he_says(
    venue: Any, changed: dict[str, str], code: str, status: int
) -> None:
    answer = await venue.call("GET", "/api/v1/accounts", **changed)
    assert (answer["code"], venue.last.status) == (code, status)


async def test_turns_away_a_wrong_signature_and_missing_headers(venue: Any) -> None:
    headers = venue.headers("GET", "/api/v1/accounts?currency=BTC")
    url = f"{venue.running.rest}/api/v1/accounts?currency=USDT"
    async with venue.session.get(url, headers=headers) as answer:
        assert (await answer.json())["code"] == "400005"
    async with venue.session.get(url) as answer:
        assert (await answer.json())["code"] == "400001"


async def test_a_reader_may_read_and_not_write(venue: Any) -> None:
    assert await venue.get("/api/v1/accounts", key="reader") == []
    assert (await venue.get("/api/v1/user/api-key", key="reader"))["permission"] == "General"
    order = venue.spot("r1", price="1000")
    answer = await venue.call("POST", "/api/v1/hf/orders", order, key="reader")
    assert answer["code"] == "400007"


async def test_takes_a_query_signed_before_or_after_it_was_encoded(venue: Any) -> None:
    plain = "/api/v1/trade-fees?symbols=BTC-USDT,ETH-USDT"
    sent = plain.replace(",", "%2C")
    for signed in (plain, sent):
        headers = venue.headers("GET", signed)
        url = URL(venue.running.rest + sent, encoded=True)
        async with venue.session.get(url, headers=headers) as answer:
            assert len((await answer.json())["data"]) == 2


async def test_unknown_paths_media_and_bodies_have_their_own_codes(venue: Any) -> None:
    assert (await venue.call("GET", "/api/v1/nothing"))["code"] == "404000"
    assert venue.last.status == 404
    assert (await venue.call("POST", "/api/v1/hf/orders", [1]))["code"] == "400100"
    text = json.dumps(venue.spot("m1", price="1000"))
    headers = venue.headers("POST", "/api/v1/hf/orders", text) | {"Content-Type": "text/plain"}
    url = f"{venue.running.rest}/api/v1/hf/orders"
    async with venue.session.post(url, data=text, headers=headers) as answer:
        assert (await answer.json())["code"] == "415000"


async def test_says_that_it_is_a_classic_account(venue: Any) -> None:
    for version in ("v1", "v2"):
        data = await venue.get(f"/api/ua/{version}/account/mode")
        assert data == {"selfAccountMode": "CLASSIC"}
    answer = await venue.call("POST", "/api/ua/v2/unified/order/place", {})
    assert answer["code"] == "112010"


async def test_counts_weights_in_headers_and_refuses_what_is_over(venue: Any) -> None:
    await venue.get("/api/v1/user/api-key")
    first = venue.last.headers
    assert (first["gw-ratelimit-limit"], first["gw-ratelimit-remaining"]) == ("2000", "1980")
    assert 29_000 < int(first["gw-ratelimit-reset"]) <= 30_000
    venue.surface.overload()
    answer = await venue.call("GET", "/api/v1/user/api-key")
    assert (answer["code"], venue.last.status) == ("429000", 429)
    assert int(venue.last.headers["gw-ratelimit-remaining"]) == 1960
    for _ in range(2):  # 800 each of 2000
        await venue.call("DELETE", "/api/v1/orders")
    answer = await venue.call("DELETE", "/api/v1/orders")
    assert (answer["code"], answer["msg"]) == ("429000", "Too Many Requests")


def test_a_pool_is_full_again_thirty_seconds_after_its_first_request() -> None:
    limiter, second = Limiter(), 1_000_000_000
    assert limiter.take(PoolName.SPOT, "7", 3999, 0).granted
    refused = limiter.take(PoolName.SPOT, "7", 2, 20 * second)
    assert (refused.granted, refused.left, refused.reset_ms) == (False, 1, 10_000)
    assert limiter.take(PoolName.SPOT, "8", 4000, 20 * second).granted
    assert limiter.take(PoolName.SPOT, "7", 4000, 30 * second).granted


async def test_both_hosts_answer_on_one_port(venue: Any) -> None:
    for path in ("/api/v1/timestamp", "/futures/api/v1/timestamp"):
        assert abs(await venue.public(path) - venue.now_ms()) < 1_000
    assert (await venue.public("/futures/api/v1/status"))["status"] == "open"
    contracts = await venue.public("/futures/api/v1/contracts/active")
    assert contracts == await venue.public("/api/v1/contracts/active") or len(contracts) == 2
    fee = await venue.get("/api/v1/trade-fees?symbol=XBTUSDTM", futures=True)
    assert fee == {"symbol": "XBTUSDTM", "takerFeeRate": "0.0006", "makerFeeRate": "0.0002"}
    assert (await venue.call("GET", "/api/v2/symbols", futures=True))["code"] == "404000"
    spot = await venue.public("/api/v1/mark-price/BTC-USDT/current")
    assert spot["symbol"] == "USDT-BTC"


async def test_tokens_are_not_interchangeable(venue: Any) -> None:
    data = await venue.token(futures=True)
    endpoint = data["instanceServers"][0]["endpoint"]
    assert endpoint.endswith("/futures/endpoint")
    wrong = endpoint.replace("/futures", "")
    socket = await venue.session.ws_connect(f"{wrong}?token={data['token']}")
    assert (await socket.receive_json())["code"] == 401
    line = await venue.line(futures=True)
    assert (await line.ask("subscribe", "/market/level2:BTC-USDT"))["code"] == 404
    line = await venue.line()
    await line.follow("/market/level2:BTC-USDT")
    assert (await line.ask("subscribe", "/contractMarket/level2:XBTUSDTM"))["code"] == 404


def test_a_token_looks_like_one() -> None:
    from oneprice.twin.dialects.kucoin.sessions import Tokens

    text = Tokens(1).issue("", "", 1)
    assert all(base64.urlsafe_b64decode(part) for part in text.split("."))
