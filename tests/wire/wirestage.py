"""The stage of a twin: a still market that only a conversation moves, and the words to move it.

Words of `~` lines; `where` is an instrument without its venue, such as linear:BTCUSDT:

    book where bid ask [size]           one large level on each side, what was there leaves
    level where side price size         one anonymous level, size 0 removes
    mark where price [index]            mark and index
    trade where side price size         a public trade of strangers; side is the taker's
    take where side price size          a stranger's order: it takes what rests, ours included
    open where side size price          a position of ours, opened at about that price
    liquidate where · adl where size · deliver where [price]
    cancel                              every open order of ours ends
    pause where [word]                  new orders are refused: not_tradable, venue_busy; none: end
    funding where rate [next]           funding is due in a moment
    purse wallet asset amount           money comes (below zero: goes)
    money wallet kind asset amount      it moves without a trade: interest, rebate, bonus ...
    forecast where rate [hours] [next]  funding that is due later
    fault kind [where]                  the next occasion goes wrong, see twin.faults
    drill method [word] [name=true]     a switch of the twin's surface; $key is our key
    jump span_ms                        the venue's clock jumps
    eve seconds                         it jumps to so long before the next whole minute
    born epoch_ms                       the venue's clock at the beginning, else today's
    wait span_ms                        real time passes
    spoil what                          what is signed next is wrong: secret key stamp phrase; ""
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from oneprice.model.units import Side
from oneprice.twin.bars import Past
from oneprice.twin.build import DIALECTS, Twin
from oneprice.twin.contract import (
    AccountSpec,
    BookUpdate,
    FundingRow,
    Kind,
    MarketUpdate,
    OrderRequest,
    PriceUpdate,
    TakeUpdate,
    TradeUpdate,
)
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import Faults
from oneprice.twin.floor import Floor
from oneprice.twin.stock import default_account, default_listings, default_setup

MS = 1_000_000
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}


class StillMarket:
    """A source that does nothing."""

    def start(self, floors: Mapping[str, Floor], at: int) -> list[MarketUpdate]:
        return []

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        return iter(())

    def past(self, instrument: str, kind: str) -> Past | None:
        return None

    def settled(self, instrument: str, at: int, count: int) -> list[FundingRow]:
        return []

    def pressed(self, floor: Floor, lots: int, at: int) -> None:
        return None


class MovedClock:
    """The real clock and an offset in ns."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset


class Stage:
    """One twin, its exchange and what can be made to happen there."""

    def __init__(self, venue: str, coin_price: str, born_ms: int = 0) -> None:
        self.venue = venue
        self.clock = MovedClock()
        if born_ms:
            self.clock.offset = born_ms * MS - time.time_ns()
        self.account: AccountSpec = default_account(venue)
        self.spoilt = ""
        self._levels: dict[str, dict[int, int]] = {}  # what this stage put into the books
        start = self.clock()
        listings = default_listings(venue, at=start)
        setup = default_setup(venue, listings, (self.account,))
        self.exchange = InnerExchange(setup, StillMarket(), start)
        self.faults = Faults(None, 1)
        for name in self.exchange.floors:
            where = name.partition(":")[2]
            if "BTC" in where or "XBT" in where:
                self.mark(where, coin_price)
                middle = Decimal(coin_price)
                self.book(where, str(middle - 1), str(middle + 1))
        self.exchange.drain()
        surface = DIALECTS[venue](self.exchange, self.clock, self.faults)
        self.twin = Twin(
            venue=venue,
            exchange=self.exchange,
            surface=surface,
            faults=self.faults,
            clock=self.clock,
        )

    @property
    def now_ms(self) -> int:
        return self.clock() // MS

    async def do(self, text: str) -> None:
        name, *words = text.split()
        await asyncio.sleep(0)
        done = getattr(self, name)(*words)
        if asyncio.iscoroutine(done):
            await done

    # Words ------------------------------------------------------------------------------------

    def book(self, where: str, bid: str, ask: str, size: str = "10000") -> None:
        floor = self._floor(where)
        lots = floor.instrument.lots(size)
        low, high = floor.instrument.ticks(bid), floor.instrument.ticks(ask)
        old = self._levels.get(where, {}), self._levels.get(where + " asks", {})
        now = {low: lots, low - 1: lots}, {high: lots, high + 1: lots}
        self._levels[where], self._levels[where + " asks"] = now
        bids, asks = (
            tuple((dict.fromkeys(before, 0) | after).items())
            for before, after in zip(old, now, strict=True)
        )
        self._apply(BookUpdate(instrument=floor.id, bids=bids, asks=asks))

    def level(self, where: str, side: str, price: str, size: str) -> None:
        floor = self._floor(where)
        row = ((floor.instrument.ticks(price), floor.instrument.lots(size)),)
        buying = SIDES[side] is Side.BUY
        kept = self._levels.setdefault(where if buying else where + " asks", {})
        kept[row[0][0]] = row[0][1]
        bids, asks = (row, ()) if buying else ((), row)
        self._apply(BookUpdate(instrument=floor.id, bids=bids, asks=asks))

    def mark(self, where: str, price: str, index: str = "") -> None:
        floor = self._floor(where)
        index = index or price
        self._apply(PriceUpdate(instrument=floor.id, mark=Decimal(price), index=Decimal(index)))

    def trade(self, where: str, side: str, price: str, size: str) -> None:
        floor = self._floor(where)
        ticks, lots = floor.instrument.ticks(price), floor.instrument.lots(size)
        self._apply(TradeUpdate(instrument=floor.id, ticks=ticks, lots=lots, side=SIDES[side]))

    def take(self, where: str, side: str, price: str, size: str) -> None:
        floor = self._floor(where)
        self._apply(
            TakeUpdate(
                instrument=floor.id,
                lots=floor.instrument.lots(size),
                side=SIDES[side],
                limit_ticks=floor.instrument.ticks(price),
            )
        )

    def open(self, where: str, side: str, size: str, price: str) -> None:
        floor = self._floor(where)
        self.mark(where, price)
        gap = floor.instrument.tick
        self.book(where, str(Decimal(price) - gap), str(Decimal(price) + gap))
        request = OrderRequest(
            account=self.account.key,
            instrument=floor.id,
            side=SIDES[side],
            lots=floor.instrument.lots(size),
            kind=Kind.MARKET,
        )
        self.exchange.place(request, self._now())

    def liquidate(self, where: str) -> None:
        name = self._floor(where).id
        self.exchange.force_liquidation(self.account.key, name, 0, self._now())

    def adl(self, where: str, size: str) -> None:
        floor = self._floor(where)
        lots = floor.instrument.lots(size)
        self.exchange.force_adl(self.account.key, floor.id, lots, self._now())

    def deliver(self, where: str, price: str = "") -> None:
        settled = Decimal(price) if price else None
        self.exchange.delist(self._floor(where).id, self._now(), settled)

    def pause(self, where: str, word: str = "") -> None:
        self.exchange.pause(self._now(), instrument=self._floor(where).id, word=word)

    def funding(self, where: str, rate: str, predicted: str = "0.0001") -> None:
        floor = self._floor(where)
        update = PriceUpdate(
            instrument=floor.id,
            funding_rate=Decimal(rate),
            funding_due=self.clock() + 30 * MS,
            funding_next=Decimal(predicted),
        )
        self._apply(update)

    def forecast(self, where: str, rate: str, hours: str = "1", then: str = "0.0001") -> None:
        floor = self._floor(where)
        due = self.clock() // (3_600_000 * MS) * 3_600_000 * MS + int(hours) * 3_600_000 * MS
        update = PriceUpdate(
            instrument=floor.id,
            funding_rate=Decimal(rate),
            funding_due=due,
            funding_next=Decimal(then),
        )
        self._apply(update)

    def purse(self, wallet: str, asset: str, amount: str) -> None:
        money = Decimal(amount)
        route = ("", wallet) if money > 0 else (wallet, "")
        self.exchange.transfer(self.account.key, asset, abs(money), route, self._now())

    def money(self, wallet: str, kind: str, asset: str, amount: str) -> None:
        key, now = self.account.key, self._now()
        self.exchange.move_money(key, asset, Decimal(amount), kind, now, wallet=wallet)

    def drill(self, name: str, *words: str) -> None:
        plain = [word.replace("$key", self.account.key) for word in words if "=" not in word]
        named = {word.partition("=")[0]: True for word in words if word.endswith("=true")}
        numbers = [int(word) if word.isdigit() else word for word in plain]
        getattr(self.twin.surface, name)(*numbers, **named)

    def cancel(self) -> None:
        self.exchange.cancel_all(self.account.key, self._now())

    def fault(self, name: str, where: str = "") -> None:
        self.faults.arm(name, 1, where)

    def jump(self, span_ms: str) -> None:
        self.clock.offset += int(span_ms) * MS

    def eve(self, seconds: str) -> None:
        into = self.clock() % (60_000 * MS)
        self.clock.offset += 60_000 * MS - into - int(seconds) * 1000 * MS

    async def wait(self, span_ms: str) -> None:
        await asyncio.sleep(int(span_ms) / 1000)

    def spoil(self, what: str = "") -> None:
        self.spoilt = what

    # Inside -----------------------------------------------------------------------------------

    def _floor(self, where: str) -> Floor:
        return self.exchange.floors[f"{self.venue}:{where}"]

    def _now(self) -> int:
        return self.clock()

    def _apply(self, update: Any) -> None:
        self.exchange.apply(update, self._now())
