"""The venue's own old Python client, bitmex-ws 0.2: headers with a nonce, tables by diffs.

The package has no REST client: it is one class that holds tables of a socket, and the functions
that sign its upgrade. Nothing of it places an order or asks for the time, so what REST is needed
here goes by `requests` with its signing function; what a whole REST client makes of the venue
(markets, time, funding, orders, ten refusals and their exceptions) is judged by ccxt beside this.
"""

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import requests

module = pytest.importorskip("bitmex_websocket")
keys = pytest.importorskip("util.api_key")

pytestmark = pytest.mark.stranger
WATCHED = "XBTUSD"


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
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
        self._nonces = count(keys.generate_nonce())

    def ask(self, verb: str, path: str, fields: dict[str, Any]) -> Any:
        # The client counts milliseconds, and a nonce must grow with every request.
        nonce, body = max(next(self._nonces), keys.generate_nonce()), json.dumps(fields)
        self._nonces = count(nonce + 1)
        sign = keys.generate_signature(self._secret, verb, f"/api/v1{path}", nonce, body)
        headers = {
            "api-key": self._key,
            "api-nonce": str(nonce),
            "api-signature": sign,
            "Content-Type": "application/json",
        }
        url = f"{self._mex.rest}/api/v1{path}"
        return requests.request(verb, url, data=body, headers=headers, timeout=30).json()

    def get(self, path: str, query: str = "") -> Any:
        """A question, signed with an empty body as the client signs its upgrade."""
        route = f"/api/v1{path}" + (f"?{query}" if query else "")
        nonce = max(next(self._nonces), keys.generate_nonce())
        self._nonces = count(nonce + 1)
        headers = {
            "api-key": self._key,
            "api-nonce": str(nonce),
            "api-signature": keys.generate_signature(self._secret, "GET", route, nonce, ""),
        }
        return requests.get(self._mex.rest + route, headers=headers, timeout=30).json()


@pytest.fixture
def client(
    mex: Any, owner: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    # Beyond so many rows it halves a table with "/", which Python 3 does not take for an index.
    monkeypatch.setattr(module.BitMEXWebsocket, "MAX_TABLE_LEN", 1_000_000)
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


Rows = list[tuple[int, str, float, int]]


def levels(rows: Any) -> Rows:
    """Levels by id, side, price and size, in the order of their ids."""
    return sorted((row["id"], row["side"], row["price"], row["size"]) for row in list(rows))


def test_its_book_kept_by_diffs_is_the_book_of_rest(client: Any, mex: Any) -> None:
    """No number names a state, so a REST book must equal what the client held around it."""
    first = levels(client.market_depth())
    equal: list[Rows] = []

    def same() -> bool:
        url = f"{mex.rest}/api/v1/orderBook/L2?symbol={WATCHED}&depth=0"
        rest = levels(requests.get(url, timeout=30).json())
        if rest not in equal and rest != first and levels(client.market_depth()) == rest:
            equal.append(rest)
        return len(equal) >= 3

    until(same, "three states that REST shows too")
    bids = [row["price"] for row in client.market_depth() if row["side"] == "Buy"]
    asks = [row["price"] for row in client.market_depth() if row["side"] == "Sell"]
    assert max(bids) < min(asks)


def test_time_and_funding_are_those_of_rest(
    client: Any, mex: Any, owner: tuple[str, str]
) -> None:
    desk = Desk(mex, owner)
    assert abs(desk.get("")["timestamp"] - time.time() * 1000) < 5_000
    instrument = client.get_instrument()
    asked = desk.get("/instrument", f"symbol={WATCHED}")[0]
    for column in ("fundingRate", "indicativeFundingRate", "fundingTimestamp", "multiplier"):
        assert instrument[column] == asked[column]
    paid = desk.get("/funding", f"symbol={WATCHED}&count=3&reverse=true")
    assert [row["timestamp"][11:16] in ("04:00", "12:00", "20:00") for row in paid] == [True] * 3
    trade = client.recent_trades()[-1]
    past = desk.get("/trade", f"symbol={WATCHED}&count=200&reverse=true")
    same = next(row for row in past if row["trdMatchID"] == trade["trdMatchID"])
    assert (same["price"], same["size"], same["side"]) == (
        trade["price"], trade["size"], trade["side"],
    )  # fmt: skip


def test_its_orders_come_and_go(client: Any, mex: Any, owner: tuple[str, str]) -> None:
    desk = Desk(mex, owner)
    client.get_instrument()  # before the ticker, which needs what this computes
    low = round(client.get_ticker()["buy"] * 0.99)
    made = desk.ask("POST", "/order", {"symbol": WATCHED, "orderQty": 100, "price": low,
                                       "clOrdID": "old-1"})  # fmt: skip
    assert made["ordStatus"] == "New"
    until(lambda: [one["clOrdID"] for one in client.open_orders("old-")] == ["old-1"], "the order")
    changed = desk.ask("PUT", "/order", {"origClOrdID": "old-1", "orderQty": 200})
    assert (changed["orderID"], changed["leavesQty"]) == (made["orderID"], 200)
    until(lambda: [one["orderQty"] for one in client.open_orders("old-")] == [200], "the change")
    desk.ask("DELETE", "/order", {"clOrdID": "old-1"})
    until(lambda: not client.open_orders("old-"), "its end")


def test_a_round_trip_shows_in_position_executions_and_margin(
    client: Any, mex: Any, owner: tuple[str, str]
) -> None:
    desk = Desk(mex, owner)

    def wallet() -> int:
        """`funds` is whichever wallet came first; this is the one that the contract settles in."""
        rows = [row for row in client.data["margin"] if row["currency"] == "XBt"]
        return int(rows[0]["walletBalance"])

    def held() -> int:
        return sum(row["currentQty"] or 0 for row in client.data["position"])

    before = wallet()
    assert held() == 0
    made = [desk.ask("POST", "/order", {"symbol": WATCHED, "orderQty": 500, "ordType": "Market"})]
    until(lambda: held() == 500, "the position")
    made.append(desk.ask("POST", "/order", {"symbol": WATCHED, "execInst": "Close"}))
    until(lambda: held() == 0, "the close")
    ids = [one["orderID"] for one in made]

    def told() -> list[Any]:
        rows = list(client.data["execution"])
        return [row for row in rows if row["execType"] == "Trade" and row["orderID"] in ids]

    until(lambda: sum(row["lastQty"] for row in told()) == 1000, "every execution")
    asked = desk.get("/execution/tradeHistory", f"symbol={WATCHED}&count=100&reverse=true")
    mine = [row for row in asked if row["orderID"] in ids]
    columns = ("execID", "lastQty", "lastPx", "execComm", "execCost")
    assert {tuple(row[c] for c in columns) for row in told()} == {
        tuple(row[c] for c in columns) for row in mine
    }
    # Costs are signed: what the two sides do not cancel of one another is the result.
    result = -sum(row["execCost"] + row["execComm"] for row in mine)
    until(lambda: wallet() - before == result, "the wallet after it")
    assert desk.get("/user/margin", "currency=XBt")["walletBalance"] == wallet()


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
        body = desk.ask("POST", "/order", usual | changed)
        assert body["error"]["message"] == message
    assert Desk(mex, ("nobody", "x")).ask("POST", "/order", usual)["error"] == {
        "message": "Invalid API Key.",
        "name": "HTTPError",
    }
