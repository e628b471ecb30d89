"""The venue's own old Python client, bitmex-ws 0.2: headers with a nonce, tables by diffs."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

module = pytest.importorskip("bitmex_websocket")
keys = pytest.importorskip("util.api_key")

pytestmark = pytest.mark.stranger
WATCHED = "XBTUSD"


def until(condition: Callable[[], Any], what: str, seconds: float = 5.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


class Desk:
    """Signed REST with the client's own signer, which still speaks of a nonce."""

    def __init__(self, mex: Any, owner: tuple[str, str]) -> None:
        self._mex = mex
        self._key, self._secret = owner

    def ask(self, verb: str, path: str, fields: dict[str, Any]) -> Any:
        nonce, body = keys.generate_nonce(), json.dumps(fields)
        sign = keys.generate_signature(self._secret, verb, f"/api/v1{path}", nonce, body)
        headers = {
            "api-key": self._key,
            "api-nonce": str(nonce),
            "api-signature": sign,
            "Content-Type": "application/json",
        }
        url = f"{self._mex.rest}/api/v1{path}"
        return requests.request(verb, url, data=body, headers=headers, timeout=5).json()


@pytest.fixture
def client(mex: Any, owner: tuple[str, str]) -> Iterator[Any]:
    made = module.BitMEXWebsocket(
        endpoint=f"{mex.rest}/api/v1", symbol=WATCHED, api_key=owner[0], api_secret=owner[1]
    )
    yield made
    made.exited = True
    made.ws.keep_running = False
    made.ws.close()


def test_reads_instrument_ticker_depth_and_funds(client: Any) -> None:
    instrument = client.get_instrument()
    assert (instrument["symbol"], instrument["tickLog"]) == (WATCHED, 1)
    ticker = client.get_ticker()
    assert ticker["buy"] < ticker["sell"] and ticker["last"] > 0
    assert len(client.market_depth()) > 50
    assert client.funds()["walletBalance"] > 0
    assert client.recent_trades()


def test_its_book_stays_whole_by_diffs(client: Any) -> None:
    first = {row["id"]: row["size"] for row in client.market_depth()}
    until(lambda: {row["id"]: row["size"] for row in client.market_depth()} != first, "a change")
    time.sleep(0.5)
    levels = list(client.market_depth())
    ids = [(row["id"], row["side"]) for row in levels]
    assert len(ids) == len(dict.fromkeys(ids))
    bids = [row["price"] for row in levels if row["side"] == "Buy"]
    asks = [row["price"] for row in levels if row["side"] == "Sell"]
    assert max(bids) < min(asks)


def test_its_orders_come_and_go(client: Any, mex: Any, owner: tuple[str, str]) -> None:
    desk = Desk(mex, owner)
    client.get_instrument()  # before the ticker, which needs what this computes
    low = round(client.get_ticker()["buy"] * 0.99)
    made = desk.ask("POST", "/order", {"symbol": WATCHED, "orderQty": 100, "price": low,
                                       "clOrdID": "old-1"})  # fmt: skip
    assert made["ordStatus"] == "New"
    until(lambda: [one["clOrdID"] for one in client.open_orders("old-")] == ["old-1"], "the order")
    time.sleep(0.01)  # its nonce counts milliseconds
    desk.ask("DELETE", "/order", {"clOrdID": "old-1"})
    until(lambda: not client.open_orders("old-"), "its end")


def test_its_position_and_executions_follow_a_fill(
    client: Any, mex: Any, owner: tuple[str, str]
) -> None:
    desk = Desk(mex, owner)
    desk.ask("POST", "/order", {"symbol": WATCHED, "orderQty": 500, "ordType": "Market"})
    until(
        lambda: any(row["currentQty"] == 500 for row in client.data["position"]), "the position"
    )
    rows = [row for row in client.data["execution"] if row["execType"] == "Trade"]
    assert sum(row["lastQty"] for row in rows) == 500
    time.sleep(0.01)
    desk.ask("POST", "/order", {"symbol": WATCHED, "execInst": "Close"})
    until(lambda: all(row["currentQty"] == 0 for row in client.data["position"]), "the close")


def test_ten_refusals_are_told_in_the_venues_words(mex: Any, owner: tuple[str, str]) -> None:
    desk = Desk(mex, owner)
    usual = {"symbol": WATCHED, "orderQty": 100, "price": 1000}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"symbol": "NOPE"}, "Invalid symbol"),
        ({"orderQty": 150}, "orderQty is invalid"),
        ({"orderQty": 0}, "orderQty is invalid"),
        ({"price": 0.05}, "Invalid price"),
        ({"price": 1e9}, "Invalid price"),
        ({"side": "Both"}, "Invalid side"),
        ({"ordType": "Stop"}, "Unsupported ordType Stop"),
        ({"timeInForce": "Never"}, "Unsupported timeInForce"),
        ({"execInst": "AllOrNothing"}, "Unsupported execInst"),
        ({"clOrdID": "x" * 40}, "'clOrdID' must not be longer than 36 characters"),
    )
    for changed, message in cases:
        time.sleep(0.003)
        body = desk.ask("POST", "/order", usual | changed)
        assert body["error"]["message"] == message
    assert Desk(mex, ("nobody", "x")).ask("POST", "/order", usual)["error"] == {
        "message": "Invalid API Key.",
        "name": "HTTPError",
    }
