"""A twin that trades at random, and its venue's dialect asking what became of it.

The dialect's requests go over HTTP as they are, and its private stream is listened to where a test
wants that. What happens is a matter of the seed.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
from wirestage import Stage
from yarl import URL

from oneprice.app.build import VENUES
from oneprice.app.config import VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.kernel import Tripwires
from oneprice.model.commands import AnyCommand, Priority, TimeInForce
from oneprice.model.events import OrderFilled
from oneprice.model.instrument import Instrument
from oneprice.model.units import Side
from oneprice.twin.contract import Kind, OrderRequest, Refusal
from oneprice.twin.server import RunningTwin, Timing, serve
from oneprice.venues.contract import Ack, Answer, Credentials, Request

QUICK = Timing(step_ms=5, answer_ms=0, publish_ms=0)
HOUR_MS = 3_600_000
MS = 1_000_000
PATIENCE_S = 60.0
SIGNED_KINDS = ("interest", "correction")


class Bench:
    """One twin, its dialect, and what the dialect said."""

    def __init__(self, stage: Stage, running: RunningTwin, http: aiohttp.ClientSession) -> None:
        self.stage, self.running, self.http = stage, running, http
        self.exchange = stage.exchange
        account = stage.account
        self.key = account.key
        keys = Credentials(account.key, account.secret, account.passphrase)
        listed = [one.instrument for one in self.exchange.listings()]
        named = [
            one for one in listed if one.base in ("BTC", "XBT") and one.market in self._markets
        ]
        self.instruments: list[Instrument] = named
        config = VenueConfig(
            name=stage.venue, instruments=tuple(f"{one.market}:{one.symbol}" for one in named)
        )
        dialect = VENUES[stage.venue](config, keys, Tripwires())
        assert dialect.trade is not None
        self.feed, self.trade = dialect.feed, dialect.trade
        hosts = self.feed.spec.hosts["live"]
        self.ends = twin_endpoints(stage.venue, running.rest, running.ws, hosts)
        self.heard: list[Any] = []
        self.listening: list[asyncio.Task[None]] = []
        self.names = 0

    @property
    def _markets(self) -> tuple[str, ...]:
        return tuple({one.instrument.market: None for one in self.exchange.listings()})

    @property
    def filled(self) -> list[OrderFilled]:
        """What the stream told of fills."""
        return [event for event in self.heard if isinstance(event, OrderFilled)]

    # What the dialect asks ----------------------------------------------------------------------

    async def call(self, request: Request) -> Answer:
        request = self.trade.sign(request, self.stage.now_ms)
        url = self.ends[request.host] + request.path
        url += f"?{request.query}" if request.query else ""
        async with self.http.request(
            request.method,
            URL(url, encoded=True),
            data=request.body or None,
            headers=dict(request.headers),
        ) as answer:
            return Answer(
                tag=request.tag,
                status=answer.status,
                body=await answer.read(),
                order_id=request.order_id,
                order_ids=request.order_ids,
            )

    async def list_all(self) -> None:
        for request in self.feed.instruments(self.feed.spec.markets):
            self.feed.answered(await self.call(request), self.stage.now_ms * MS)

    async def ask(self, command: AnyCommand) -> list[Any]:
        """Every event that a command brings, further pages and questions included."""
        at = self.stage.now_ms * MS
        out: list[Any] = []
        waiting = list(self.trade.encode(command, at))
        self.asked = len(waiting)
        while waiting:
            out += self.trade.answered(await self.call(waiting.pop(0)), at)
            more = self.trade.follow_ups()
            self.stage.clock.offset += 300 * MS * bool(more)  # nobody may ask without pause
            self.asked += len(more)
            waiting += more
        return out

    async def listen(self) -> None:
        """Every private socket of the venue, logged in."""
        for spec in self.trade.spec.sockets:
            if spec.role != "private":
                continue
            requests = [
                one for one in self.trade.login(spec.name) if one.priority is Priority.UNWIND
            ]
            url = self.ends[spec.host] + spec.path
            for request in [one for one in requests if not one.socket]:
                (ack,) = self.trade.answered(await self.call(request), self.stage.now_ms * MS)
                assert isinstance(ack, Ack)
                url = ack.text
            link = await self.http.ws_connect(URL(url, encoded=True))
            acks: asyncio.Queue[Ack] = asyncio.Queue()
            self.listening.append(asyncio.create_task(self._hear(spec.name, link, acks)))
            if spec.greets:
                await asyncio.wait_for(acks.get(), PATIENCE_S)
            for request in [one for one in requests if one.socket]:
                frame = self.trade.sign(request, self.stage.now_ms).body
                await link.send_str(frame.decode())
                ack = await asyncio.wait_for(acks.get(), PATIENCE_S)
                assert ack.ok, ack

    async def _hear(
        self, socket: str, link: aiohttp.ClientWebSocketResponse, acks: "asyncio.Queue[Ack]"
    ) -> None:
        async for message in link:
            for output in self.trade.decode(socket, message.data.encode(), self.stage.now_ms * MS):
                if isinstance(output, Ack):
                    acks.put_nowait(output)
                else:
                    self.heard.append(output)

    async def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, "it never came"
            await asyncio.sleep(0.01)

    # What happens there -------------------------------------------------------------------------

    def deal(self, chance: random.Random) -> None:
        """One order: it takes at once, or rests and is taken by a stranger."""
        item = chance.choice(self.instruments)
        where = item.id.partition(":")[2]
        side = chance.choice((Side.BUY, Side.SELL))
        lots = max(1, int(item.lots_min)) * chance.randint(1, 4)
        if item.notional_min:
            lots = max(lots, int(item.lots_within(item.notional_min / 50_000)) + 1)
        price = 60_000 + 10 * chance.randint(-80, 80)
        self.stage.mark(where, str(price))
        self.stage.book(where, str(price - 1), str(price + 1))
        self.names += 1
        rests = chance.random() < 0.4
        request = OrderRequest(
            account=self.key,
            instrument=item.id,
            side=side,
            lots=lots,
            ticks=item.ticks(str(price)) if rests else item.ticks(str(price + 100 * side)),
            kind=Kind.LIMIT,
            time_in_force=TimeInForce.GTC if rests else TimeInForce.IOC,
            client_id=f"arb{self.names}" if chance.random() < 0.9 else "",
        )
        try:
            self.exchange.place(request, self.stage.now_ms * MS)
        except Refusal:
            return  # no money for it, or nothing to sell: a day like any other
        if rests:
            word = "SELL" if side is Side.BUY else "BUY"
            self.stage.take(where, word, str(price), item.size_text(lots))

    def pay_funding(self, chance: random.Random) -> None:
        item = chance.choice([one for one in self.instruments if one.funding_interval_ms])
        where = item.id.partition(":")[2]
        self.stage.funding(where, str(Decimal(chance.randint(-30, 30)).scaleb(-5)))
        self.stage.clock.offset += 40 * MS
        self.exchange.advance(self.stage.clock())

    def move_money(self, chance: random.Random) -> None:
        kinds = ("deposit", "withdrawal", "transfer_in", "transfer_out", "interest", "rebate",
                 "bonus", "correction")  # fmt: skip
        kind = chance.choice(kinds)
        wallet = chance.choice(self.exchange.setup.wallets).name
        held = self.exchange.balances(self.key, wallet)
        amount = Decimal(chance.randint(1, 900)).scaleb(-4)
        if kind in SIGNED_KINDS and chance.random() < 0.5:
            amount = -amount
        coin = chance.choice(held).asset
        self.exchange.move_money(
            self.key, coin, amount, kind, self.stage.now_ms * MS, wallet=wallet
        )

    def force(self, chance: random.Random) -> None:
        """A position is closed by the venue: by liquidation, deleveraging or delisting."""
        held = [
            position
            for market in self._markets
            for position in self.exchange.positions(self.key, market)
            if position.lots and position.instrument in self.exchange.floors
        ]
        if not held:
            return
        position, at = chance.choice(held), self.stage.now_ms * MS
        if chance.random() < 0.5:
            self.exchange.force_liquidation(self.key, position.instrument, 0, at)
        else:
            lots = abs(position.lots)
            self.exchange.force_adl(self.key, position.instrument, lots, at)

    def live(self, seed: int, steps: int, jump_ms: int = 0) -> None:
        """So many things happen; with `jump_ms` up to so much time passes between two of them."""
        chance = random.Random(seed)
        acts = [self.deal] * 12 + [self.pay_funding] * 2 + [self.move_money] * 3 + [self.force]
        for _ in range(steps):
            chance.choice(acts)(chance)
            self.stage.clock.offset += MS
            if jump_ms:
                self.stage.clock.offset += chance.randint(0, jump_ms) * MS
                self.exchange.advance(self.stage.clock())

    def delist(self) -> None:
        """The first contract that we hold ends, at its last price."""
        for item in self.instruments:
            if item.is_derivative and self.exchange.position(self.key, item.id).lots:
                self.exchange.delist(item.id, self.stage.now_ms * MS)
                return
        raise AssertionError("nothing is held")


@asynccontextmanager
async def bench_of(venue: str) -> AsyncIterator[Bench]:
    stage = Stage(venue, "60000")
    running = await serve(stage.twin, timing=QUICK)
    async with aiohttp.ClientSession() as http:
        bench = Bench(stage, running, http)
        await bench.list_all()
        yield bench
        for task in bench.listening:
            task.cancel()
    await running.close()
    assert running.failures == 0
