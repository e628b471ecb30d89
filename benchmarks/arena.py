"""The arena of the latency benchmark: a venue that opens an edge and stops the clock at the order.

It speaks what a client of Bybit v5 needs (public spot and linear, private, trade, and the REST
answers asked for at start) and nothing else. It runs in a process of its own whose loop spins
while a plan is played, so that its own waking up is not measured. One plan a line on standard
input, one result a line on standard output, both JSON.

A tick: the best linear bid jumps so far above the best spot ask that buying spot and selling the
future pays. The clock starts right before the write of that frame and stops when the first order
frame has been read. Then the edge is closed again, both orders are acknowledged and end
unfilled (IOC), so that every tick finds the client flat.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence

import picows
from aiohttp import web

SYMBOL = "BTCUSDT"
TEMPLATES = 64  # neutral deltas per book, drawn once
ANSWER_MAX_NS = 100_000_000  # a tick that brought no order within this counts as missed
WARM_UP_MAX_NS = 20_000_000_000  # to connect, check accounts and answer the warm-up ticks
TICKERS_EVERY = 20  # ticks between two ticker frames


def framed(payload: bytes) -> bytes:
    """A text frame as a server writes it, so that a burst can leave in one write."""
    size = len(payload)
    head = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + payload


class Book:
    """Frames of one orderbook.50: sizes change at random, prices only where told to.

    Prices in cents. `bids` and `asks` are (best, step) of fifty levels a side.
    """

    def __init__(self, dice: random.Random, bids: tuple[int, int], asks: tuple[int, int]) -> None:
        self.update = 1000
        self._dice = dice
        self._prices = [bids[0] - bids[1] * i for i in range(50)]
        self._offers = [asks[0] + asks[1] * i for i in range(50)]
        self._neutral = [self._body([], []) for _ in range(TEMPLATES)]

    def _levels(self, prices: Sequence[int], count: int) -> list[list[str]]:
        # The best level stays as it is: neutral frames must not touch what the edge hangs on.
        chosen = sorted(self._dice.sample(range(1, 50), count))
        return [[_price(prices[i]), f"{self._dice.randint(1, 9999) / 1000:.3f}"] for i in chosen]

    def _body(self, bids: list[list[str]], asks: list[list[str]]) -> bytes:
        count = self._dice.randint(4, 8)
        body = {
            "s": SYMBOL,
            "b": [*bids, *self._levels(self._prices, count - len(bids))],
            "a": [*asks, *self._levels(self._offers, count - len(asks))],
        }
        return json.dumps(body, separators=(",", ":")).encode()[:-1]

    def snapshot(self) -> bytes:
        body = {
            "s": SYMBOL,
            "b": [[_price(price), "1.500"] for price in self._prices],
            "a": [[_price(price), "1.500"] for price in self._offers],
        }
        return self._frame(b"snapshot", json.dumps(body, separators=(",", ":")).encode()[:-1])

    def neutral(self) -> bytes:
        return self._frame(b"delta", self._dice.choice(self._neutral))

    def with_bid(self, price: int, size: str) -> bytes:
        """A delta like any other whose first bid is this one."""
        return self._frame(b"delta", self._body([[_price(price), size]], []))

    def _frame(self, kind: bytes, body: bytes) -> bytes:
        self.update += 1
        now = time.time_ns() // 1_000_000
        return framed(
            b'{"topic":"orderbook.50.%b","type":"%b","ts":%d,"data":%b,"u":%d,"seq":%d},"cts":%d}'
            % (SYMBOL.encode(), kind, now, body, self.update, 7 * self.update, now - 2)
        )


def _price(cents: int) -> str:
    return f"{cents / 100:.2f}"


class Arena:
    """Books, sockets and the clock. `play` runs one plan at a time."""

    def __init__(self) -> None:
        dice = random.Random(7)
        # Spot 60,000.00; the future 0.3 % above, and 0.42 % while the edge is open.
        self.books = {
            "spot": Book(dice, (5_999_990, 10), (6_000_000, 10)),
            "linear": Book(dice, (6_018_000, 10), (6_026_000, 10)),
        }
        self.high_bid = 6_025_000
        self.dice = dice
        self.sockets: dict[str, picows.WSTransport] = {}  # by name, once subscribed or logged in
        self.orders: list[dict[str, object]] = []
        self.first_order = 0
        self.sent = 0

    # What the sockets say ----------------------------------------------------------------

    def heard(self, name: str, transport: picows.WSTransport, text: bytes) -> None:
        stamp = time.perf_counter_ns()
        message = json.loads(text)
        operation = message.get("op", "")
        if operation == "order.create":
            if self.sent and not self.orders:
                self.first_order = stamp
            self.orders.append(message)
            return
        request = message.get("req_id") or message.get("reqId") or ""
        if operation == "ping":
            answer = {"success": True, "ret_msg": "pong", "op": "ping", "req_id": request}
        elif name == "trade":
            answer = {"reqId": request, "retCode": 0, "retMsg": "OK", "op": operation}
        else:
            answer = {"success": True, "ret_msg": "", "op": operation, "req_id": request}
        self.write(transport, framed(json.dumps(answer).encode()))
        if operation == "subscribe" and name in self.books:
            self.write(transport, self.books[name].snapshot())
            if name == "linear":
                self.write(transport, self.ticker("snapshot"))
        if operation == ("subscribe" if name in self.books else "auth"):
            self.sockets[name] = transport

    def write(self, transport: picows.WSTransport, data: bytes) -> None:
        transport.underlying_transport.write(data)

    def ticker(self, kind: str) -> bytes:
        now = time.time_ns() // 1_000_000
        data = {"symbol": SYMBOL, "markPrice": "60220.00", "indexPrice": "60000.00"}
        if kind == "snapshot":
            due = (now // 28_800_000 + 1) * 28_800_000
            data |= {"fundingRate": "0.0001", "nextFundingTime": str(due)}
        body = {"topic": f"tickers.{SYMBOL}", "type": kind, "data": data, "cs": 1, "ts": now}
        return framed(json.dumps(body).encode())

    # A plan ------------------------------------------------------------------------------

    async def play(self, plan: dict[str, float]) -> dict[str, object]:
        """Warm up until `warm` ticks in a row were answered, then measure `ticks` of them."""
        measured: list[int] = []
        missed = warm = 0
        begun = time.perf_counter_ns()
        while len(measured) + missed < plan["ticks"]:
            found = await self._tick(int(plan["burst"]), 1e9 / plan["rate"])
            if warm < plan["warm"]:
                warm = warm + 1 if found else 0
                if time.perf_counter_ns() - begun > WARM_UP_MAX_NS:
                    return {"error": "the client did not answer the warm-up"}
            elif found:
                measured.append(found)
            else:
                missed += 1
        return {"ns": measured, "missed": missed}

    async def _tick(self, burst: int, period: float) -> int:
        """One edge opened and closed; nanoseconds to the first order, 0 if there was none."""
        start = time.perf_counter_ns()
        if len(self.sockets) < 3:
            await asyncio.sleep(0.01)
            return 0
        linear, book = self.sockets["linear"], self.books["linear"]
        self.orders.clear()
        self.first_order = 0
        frames = [book.neutral() for _ in range(burst - 1)]
        frames.append(book.with_bid(self.high_bid, "1.500"))
        data = b"".join(frames)
        self.sent = time.perf_counter_ns()
        self.write(linear, data)
        # Spinning, here and below: this core belongs to the arena, and waking up takes time.
        answered = self.sent + ANSWER_MAX_NS
        while len(self.orders) < 2 and time.perf_counter_ns() < answered:  # noqa: ASYNC110
            await asyncio.sleep(0)
        took = self.first_order - self.sent if self.first_order else 0
        self.sent = 0
        self.write(linear, book.with_bid(self.high_bid, "0"))
        for message in self.orders:
            self._end(message)
        due = start + period * self.dice.uniform(0.9, 1.1)
        await self._until(start + period / 2)
        for name in self.books:
            self.write(self.sockets[name], self.books[name].neutral())
        if self.dice.randrange(TICKERS_EVERY) == 0:
            self.write(linear, self.ticker("delta"))
        await self._until(due)
        return took

    async def _until(self, due: float) -> None:
        while time.perf_counter_ns() < due:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _end(self, message: dict[str, object]) -> None:
        """The answer to an order, and on the private stream its end without a fill."""
        now = time.time_ns() // 1_000_000
        arguments = message["args"]
        assert isinstance(arguments, list)
        order = arguments[0]
        ids = {"orderId": f"v-{order['orderLinkId']}", "orderLinkId": order["orderLinkId"]}
        header = {"X-Bapi-Limit": "1000", "X-Bapi-Limit-Status": "999", "Timenow": str(now)}
        answer = {
            "reqId": message["reqId"],
            "retCode": 0,
            "retMsg": "OK",
            "op": "order.create",
            "data": ids,
            "header": {**header, "X-Bapi-Limit-Reset-Timestamp": str(now)},
            "connId": "arena",
        }
        self.write(self.sockets["trade"], framed(json.dumps(answer).encode()))
        private = self.sockets.get("private")
        if private is None:
            return
        row = {
            **{key: order[key] for key in ("category", "symbol", "side", "price", "qty")},
            **ids,
            "orderStatus": "Cancelled",
            "cancelType": "UNKNOWN",
            "rejectReason": "EC_NoImmediateQtyToFill",
            "timeInForce": "IOC",
            "orderType": "Limit",
            "leavesQty": "0",
            "cumExecQty": "0",
            "cumExecValue": "0",
            "createdTime": str(now),
            "updatedTime": str(now),
        }
        body = {"id": ids["orderId"], "topic": "order", "creationTime": now, "data": [row]}
        self.write(private, framed(json.dumps(body).encode()))


class Side(picows.WSListener):
    """One connection of the client."""

    def __init__(self, arena: Arena, name: str) -> None:
        self._arena = arena
        self._name = name

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type is picows.WSMsgType.TEXT:
            self._arena.heard(self._name, transport, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._arena.sockets.get(self._name) is transport:
            del self._arena.sockets[self._name]


# What is asked over HTTP at start --------------------------------------------------------


def listed(market: str) -> dict[str, object]:
    row: dict[str, object] = {
        "symbol": SYMBOL,
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "priceFilter": {"tickSize": "0.01" if market == "spot" else "0.10"},
    }
    if market == "spot":
        sizes = {"basePrecision": "0.000001", "minOrderQty": "0.000011", "minOrderAmt": "5"}
        return row | {"lotSizeFilter": {**sizes, "maxLimitOrderQty": "83"}}
    sizes = {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "1190"}
    contract = {"contractType": "LinearPerpetual", "settleCoin": "USDT", "deliveryTime": "0"}
    filters = {"lotSizeFilter": {**sizes, "minNotionalValue": "5"}}
    return row | filters | contract | {"fundingInterval": 480}


def wallet() -> dict[str, object]:
    zero = dict.fromkeys(
        ("locked", "bonus", "spotBorrow", "totalOrderIM", "totalPositionIM", "unrealisedPnl"), "0"
    )
    coins = [{"coin": "USDT", "walletBalance": "1000000"}, {"coin": "BTC", "walletBalance": "5"}]
    return {"accountType": "UNIFIED", "coin": [{**coin, **zero} for coin in coins]}


async def answer(request: web.Request) -> web.Response:
    market = request.query.get("category", "")
    rows: list[dict[str, object]] = []
    match request.path:
        case "/v5/market/instruments-info":
            rows = [listed(market)]
        case "/v5/account/wallet-balance":
            rows = [wallet()]
        case "/v5/account/fee-rate":
            taker = "0.001" if market == "spot" else "0.00055"
            rows = [{"symbol": SYMBOL, "takerFeeRate": taker, "makerFeeRate": "0.0002"}]
    now = time.time_ns()
    result: dict[str, object] = {
        "list": rows, "category": market, "timeNano": str(now), "nextPageCursor": ""
    }  # fmt: skip
    if request.path == "/v5/user/query-api":  # a key that may trade and cannot withdraw
        rights = {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": []}
        result = {"readOnly": 0, "permissions": rights, "ips": ["127.0.0.1"]}
    return web.json_response(
        {"retCode": 0, "retMsg": "OK", "result": result, "time": now // 1_000_000}
    )


async def main() -> None:
    """Serve until standard input ends."""
    arena = Arena()

    def side(request: picows.WSUpgradeRequest) -> picows.WSListener:
        return Side(arena, request.path.decode().rsplit("/", 1)[-1])

    server = await picows.ws_create_server(side, "127.0.0.1", 0)
    rest = web.Application()
    rest.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(rest)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port, rest_port = server.sockets[0].getsockname()[1], runner.addresses[0][1]
    ends = {"ws": f"ws://127.0.0.1:{port}", "rest": f"http://127.0.0.1:{rest_port}"}
    print(json.dumps(ends), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        print(json.dumps(await arena.play(json.loads(line))), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity") and len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    import uvloop

    uvloop.run(main())
