"""Inner exchanges for tests: one with a hand-made market, one with the seeded world."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.bars import Past
from oneprice.twin.contract import (
    BookUpdate,
    FundingRow,
    Kind,
    MarketUpdate,
    Order,
    OrderRequest,
    PriceUpdate,
)
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.floor import Floor
from oneprice.twin.market import SeededWorld
from oneprice.twin.stock import default_account, default_listings, default_setup

START = 1_795_000_000_000_000_000
MS = 1_000_000


class StillMarket:
    """A source that does nothing: tests move the market by hand."""

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


class Bench:
    """Short words for tests: who does what on which instrument."""

    def __init__(self, exchange: InnerExchange) -> None:
        self.exchange = exchange
        self.venue = exchange.setup.venue
        self.key = exchange.accounts()[0].key
        self.at = START

    def name(self, where: str) -> str:
        return f"{self.venue}:{where}"

    def book(self, where: str, bids: dict[str, str], asks: dict[str, str], **more: object) -> None:
        """Sets anonymous levels by price and size text; size 0 removes."""
        instrument = self.exchange.floors[self.name(where)].instrument

        def grid(levels: dict[str, str]) -> tuple[tuple[int, int], ...]:
            return tuple((instrument.ticks(p), instrument.lots(s)) for p, s in levels.items())

        self.exchange.apply(
            BookUpdate(instrument=instrument.id, bids=grid(bids), asks=grid(asks), **more),
            self.tick(),
        )

    def mark(self, where: str, mark: str, **more: object) -> None:
        price = Decimal(mark)
        update = PriceUpdate(instrument=self.name(where), mark=price, index=price, **more)
        self.exchange.apply(update, self.tick())

    def order(self, where: str, side: Side, price: str, size: str, **more: object) -> Order:
        """A limit order, or a market order where the price is empty."""
        instrument = self.exchange.floors[self.name(where)].instrument
        fields: dict[str, object] = {
            "account": self.key,
            "instrument": instrument.id,
            "side": side,
            "lots": instrument.lots(size),
            "ticks": instrument.ticks(price) if price else 0,
            "kind": Kind.LIMIT if price else Kind.MARKET,
            **more,
        }
        return self.exchange.place(OrderRequest(**fields), self.tick())

    def ioc(self, where: str, side: Side, price: str, size: str, **more: object) -> Order:
        return self.order(where, side, price, size, time_in_force=TimeInForce.IOC, **more)

    def deep(self, where: str, price: str, size: str = "1000") -> None:
        """One large level on each side, a hundredth of a percent apart; older ones leave."""
        instrument = self.exchange.floors[self.name(where)].instrument
        middle = int(Decimal(price) / instrument.tick)
        lots, gap = instrument.lots(size), max(1, middle // 20_000)
        self.exchange.apply(
            BookUpdate(
                instrument=instrument.id,
                bids=((middle - gap, lots),),
                asks=((middle + gap, lots),),
                full=True,
            ),
            self.tick(),
        )

    def open(self, where: str, side: Side, size: str, price: str, **more: object) -> Order:
        """A position by a market order against a deep book."""
        self.deep(where, price)
        self.mark(where, price)
        return self.order(where, side, "", size, **more)

    def tick(self) -> int:
        self.at += MS
        return self.at

    def total(self, asset: str) -> Decimal:
        wallet = self.exchange.setup.wallets[0].name
        return self.exchange.balance(self.key, wallet, asset).total


def still(venue: str) -> Bench:
    accounts = (default_account(venue, 1), default_account(venue, 2))
    setup = default_setup(venue, default_listings(venue), accounts)
    bench = Bench(InnerExchange(setup, StillMarket(), START))
    for where, price in (
        ("linear:BTCUSDT", "60000"),
        ("spot:BTCUSDT", "60000"),
        ("inverse:BTCUSD", "60000"),
        ("usdm:BTCUSDT", "60000"),
        ("swap:BTC-USDT-SWAP", "60000"),
        ("futures:BTC-USDT-261225", "60000"),
        ("derivatives:XBTUSD", "60000"),
        ("derivatives:XBTUSDT", "60000"),
        ("derivatives:ETHUSD", "3000"),
    ):
        if bench.name(where) in bench.exchange.floors:
            bench.mark(where, price)
    bench.exchange.drain()
    return bench


def seeded(
    venue: str = "bybit", seed: int = 7, start: int = START, only: tuple[str, ...] = ()
) -> InnerExchange:
    listings = tuple(
        one
        for one in default_listings(venue)
        if not only or one.instrument.id.split(":", 1)[1] in only
    )
    setup = default_setup(venue, listings, (default_account(venue),))
    return InnerExchange(setup, SeededWorld(listings, seed), start)
