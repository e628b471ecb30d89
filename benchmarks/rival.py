"""The rival of the latency benchmark: a bot as most are written, `websockets` and `json`.

Two market sockets and one order socket on asyncio, `json.loads` into sorted books of floats, a
comparison after every frame, `json.dumps` of the order, signed login (HMAC-SHA256) as the venue
wants it. It keeps no journal, checks no sequence, weighs no fees or depth, asks no gate and does
not look what became of its orders: everything that is left out speaks for the rival.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import sys
import time

import websockets
from sortedcontainers import SortedDict

EDGE = 0.0036  # fraction; the arena shows 0.0030 while closed and 0.0042 while open
KEY, SECRET = "key", "secret"


class Bot:
    """Books, orders out, and whether this edge was taken already."""

    def __init__(self) -> None:
        self.books = {market: (SortedDict(), SortedDict()) for market in ("spot", "linear")}
        self.trade: websockets.ClientConnection | None = None
        self.numbers = itertools.count(1)
        self.taken = False

    def apply(self, market: str, text: str | bytes) -> bool:
        """Take one frame over; False for anything but a book."""
        message = json.loads(text)
        if not message.get("topic", "").startswith("orderbook."):
            return False
        data = message["data"]
        bids, asks = self.books[market]
        if message["type"] == "snapshot":
            bids.clear()
            asks.clear()
        for levels, side in ((data["b"], bids), (data["a"], asks)):
            for price, size in levels:
                amount = float(size)
                if amount:
                    side[float(price)] = amount
                else:
                    side.pop(float(price), None)
        return True

    async def decide(self) -> None:
        """Both legs at once when selling the future pays; once for each edge."""
        asks, bids = self.books["spot"][1], self.books["linear"][0]
        if not asks or not bids or self.trade is None:
            return
        ask, bid = asks.peekitem(0)[0], bids.peekitem(-1)[0]
        if bid / ask - 1 < EDGE:
            self.taken = False
        elif not self.taken:
            self.taken = True
            await self.trade.send(self.order("spot", "Buy", ask * 1.0001))
            await self.trade.send(self.order("linear", "Sell", bid * 0.9999))

    def order(self, market: str, side: str, price: float) -> str:
        number = next(self.numbers)
        return json.dumps(
            {
                "reqId": str(number),
                "header": {
                    "X-BAPI-TIMESTAMP": str(int(time.time() * 1000)),
                    "X-BAPI-RECV-WINDOW": "2000",
                },
                "op": "order.create",
                "args": [
                    {
                        "category": market,
                        "symbol": "BTCUSDT",
                        "side": side,
                        "orderType": "Limit",
                        "qty": "0.033",
                        "price": f"{price:.1f}",
                        "timeInForce": "IOC",
                        "orderLinkId": f"rival-{number}",
                    }
                ],
            }
        )


async def market(bot: Bot, base: str, name: str, topics: list[str]) -> None:
    async with websockets.connect(f"{base}/v5/public/{name}") as socket:
        await socket.send(json.dumps({"req_id": "1", "op": "subscribe", "args": topics}))
        async for text in socket:
            if bot.apply(name, text):
                await bot.decide()


async def trade(bot: Bot, base: str) -> None:
    async with websockets.connect(f"{base}/v5/trade") as socket:
        expires = int(time.time() * 1000) + 10_000
        text = f"GET/realtime{expires}".encode()
        signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
        login = {"reqId": "login", "op": "auth", "args": [KEY, expires, signature]}
        await socket.send(json.dumps(login))
        bot.trade = socket
        async for answer in socket:
            json.loads(answer)


async def main(base: str) -> None:
    bot = Bot()
    with contextlib.suppress(websockets.ConnectionClosed):
        await asyncio.gather(
            trade(bot, base),
            market(bot, base, "spot", ["orderbook.50.BTCUSDT"]),
            market(bot, base, "linear", ["orderbook.50.BTCUSDT", "tickers.BTCUSDT"]),
        )


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity") and len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
