"""The venue-neutral inner market of a twin: time, market updates, accounts and orders in one."""

from collections.abc import Mapping
from decimal import Decimal

from oneprice.model.instrument import instrument_id, split_id
from oneprice.model.units import MILLI, ZERO, Asset, InstrumentId, Money
from oneprice.twin.admission import price_band
from oneprice.twin.closing import Closing
from oneprice.twin.contract import (
    AccountSpec,
    Balance,
    BalanceChanged,
    BookChanged,
    BookUpdate,
    BookView,
    Candle,
    Fill,
    FundingRow,
    FundingSettled,
    Liquidated,
    Listing,
    LogRow,
    MarketUpdate,
    Order,
    OrderRequest,
    Output,
    Pool,
    Position,
    PositionChanged,
    PriceUpdate,
    RawUpdate,
    Refusal,
    RiskTier,
    Setup,
    TakeUpdate,
    Ticker,
    TickerChanged,
    Traded,
    TradeUpdate,
)
from oneprice.twin.docket import Docket
from oneprice.twin.exposure import Exposure, tiers_of
from oneprice.twin.floor import Floor, Source
from oneprice.twin.funding import settle_due
from oneprice.twin.hall import Hall
from oneprice.twin.herald import Herald
from oneprice.twin.holdings import Holdings
from oneprice.twin.solvency import Solvency
from oneprice.twin.terms import Terms
from oneprice.twin.trader import Trader
from oneprice.twin.treasury import Treasury
from oneprice.twin.vault import INSURANCE, Vault

WATCH_EVERY = 100 * MILLI  # between two looks at everyone's margin
_FAR_MS = 1 << 53


class InnerExchange:
    """Implements `contract.Exchange`; one thread, no clock of its own."""

    def __init__(self, setup: Setup, source: Source, start: int) -> None:
        self.setup = setup
        self.now = self._watched = start
        self._source = source
        self._outputs: list[Output] = []
        self._floors = {
            one.instrument.id: Floor(one, source, start, _lot_step(setup, one))
            for one in setup.listings
        }
        self._accounts = {spec.key: spec for spec in setup.accounts}
        first_id = start // MILLI * 10  # later starts get higher ids, as at a real venue
        self._vault = Vault(setup, first_id)
        self._holdings = Holdings()
        self._docket = Docket(first_id, client_ids_forever=setup.client_ids_forever)
        exposure = Exposure(setup, self._floors, self._holdings, self._docket)
        self._solvency = Solvency(setup, self._floors, self._vault, self._holdings, exposure)
        self._hall = Hall(
            setup=setup,
            floors=self._floors,
            vault=self._vault,
            holdings=self._holdings,
            docket=self._docket,
            solvency=self._solvency,
            emit=self._outputs.append,
            pressed=source.pressed,
        )
        self._trader = Trader(self._hall)
        self._closing = Closing(self._hall, self._trader)
        self._terms = Terms(self._hall)
        self._treasury = Treasury(self._hall)
        self._herald = Herald(self._outputs.append, taped=setup.taped)
        for spec in setup.accounts:
            for wallet, coins in spec.deposits.items():
                for asset, amount in coins.items():
                    self._vault.transfer(spec.key, asset, amount, ("", wallet), start)
        for update in source.start(self._floors, start):
            self.apply(update, start)
        self._vault.dirty.clear()
        self._outputs.clear()

    @property
    def floors(self) -> Mapping[InstrumentId, Floor]:
        return self._floors

    # Time -------------------------------------------------------------------------------------

    def advance(self, at: int) -> None:
        """Brings the market to a moment; a moment in the past changes nothing."""
        if at <= self.now:
            return
        for when, update in self._source.updates(at):
            self.apply(update, when)
        self.now = at
        for floor in self._floors.values():
            settle_due(self._hall, floor, at)
            if floor.status != "delisted":
                due, price = floor.delisting
                if 0 < due <= at or 0 < floor.instrument.expiry <= at:
                    self.delist(floor.id, at, price)
            self._herald.show_ticker(floor, at)
            self._herald.show_bar(floor, at)
        if self.setup.liquidates and at - self._watched >= WATCH_EVERY:
            self._watched = at
            for floor in self._closing.watch(at):
                self._herald.show_book(floor, at)
        self._flush(at)

    def apply(self, update: MarketUpdate, at: int) -> None:
        floor = self._floors[update.instrument]
        if floor.status == "delisted":
            return
        settle_due(self._hall, floor, at)
        match update:
            case BookUpdate():
                self._apply_book(floor, update, at)
            case TradeUpdate():
                self._apply_trade(floor, update, at)
            case TakeUpdate():
                self._trader.take(floor, update.side, update.lots, update.limit_ticks, at)
                self._herald.show_book(floor, at)
            case PriceUpdate():
                floor.price(update, at)
                if update.raw:
                    floor.ticker_due = False
                    self._outputs.append(TickerChanged(ticker=floor.ticker(at), raw=update.raw))
            case RawUpdate():
                self._outputs.append(TickerChanged(ticker=floor.ticker(at), raw=update.raw))
        self._flush(at)

    def drain(self) -> list[Output]:
        drained = self._outputs.copy()
        self._outputs.clear()  # the same list stays in the hands of the trader
        return drained

    # Market -----------------------------------------------------------------------------------

    def listings(self, market: str = "") -> list[Listing]:
        floors = self._floors.values()
        return [one.standing() for one in floors if market in ("", one.instrument.market)]

    def listing(self, market: str, symbol: str) -> Listing:
        return self._floor(instrument_id(self.setup.venue, market, symbol)).standing()

    def book(self, instrument: InstrumentId, depth: int = 0) -> BookView:
        return self._floor(instrument).view(depth)

    def trades(self, instrument: InstrumentId, limit: int = 500) -> list[Traded]:
        return list(self._floor(instrument).trades)[-limit:] if limit > 0 else []

    def ticker(self, instrument: InstrumentId) -> Ticker:
        return self._floor(instrument).ticker(self.now)

    def candles(
        self,
        instrument: InstrumentId,
        kind: str,
        interval_ms: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 200,
    ) -> list[Candle]:
        bars = self._floor(instrument).bars.get(kind)
        if bars is None or interval_ms <= 0 or interval_ms % 60_000:
            raise Refusal("bad_request", f"candles {kind!r} of {interval_ms} ms")
        last = _FAR_MS if end_ms is None else end_ms
        return bars.find(interval_ms, (start_ms or 0, last), limit, self.now)

    def funding_rows(
        self,
        instrument: InstrumentId,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 200,
    ) -> list[FundingRow]:
        rows = [
            row
            for row in self._floor(instrument).funding_rows
            if (start is None or row.at >= start) and (end is None or row.at <= end)
        ]
        return rows[-limit:] if limit > 0 else []

    def price_band(self, instrument: InstrumentId) -> tuple[int, int]:
        return price_band(self._floor(instrument))

    def liquidations(self, instrument: InstrumentId, limit: int = 100) -> list[Liquidated]:
        return list(self._floor(instrument).liquidations)[-limit:] if limit > 0 else []

    def tiers(self, instrument: InstrumentId) -> tuple[RiskTier, ...]:
        return tiers_of(self._floor(instrument))

    def insurance(self) -> dict[Asset, Money]:
        return self._vault.others(INSURANCE)

    # Drills -----------------------------------------------------------------------------------

    def force_liquidation(self, key: str, instrument: InstrumentId, index: int, at: int) -> Order:
        self.account(key)
        floor = self._floor(instrument)
        order = self._closing.liquidate((key, instrument, index), at)
        self._herald.show_book(floor, at)
        self._flush(at)
        return order

    def force_adl(
        self, key: str, instrument: InstrumentId, lots: int, at: int, *, index: int = 0
    ) -> Order:
        self.account(key)
        floor = self._floor(instrument)
        order = self._closing.deleverage((key, instrument, index), lots, at)
        self._herald.show_book(floor, at)
        self._flush(at)
        return order

    def delist(
        self, instrument: InstrumentId, at: int, price: Decimal | None = None, *, due: int = 0
    ) -> None:
        floor = self._floor(instrument)
        if due > at:
            self._closing.announce(floor, (due, price), at)
            return
        self._closing.delist(floor, at, price)
        floor.book.clear()
        self._herald.show_book(floor, at, full=True)
        self._flush(at)

    def pause(self, at: int, *, instrument: InstrumentId = "", word: str = "not_tradable") -> None:
        floors = [self._floor(instrument)] if instrument else list(self._floors.values())
        for floor in floors:
            self._closing.pause(floor, word, at)

    # Accounts ---------------------------------------------------------------------------------

    def accounts(self) -> list[AccountSpec]:
        return list(self._accounts.values())

    def account(self, key: str) -> AccountSpec:
        spec = self._accounts.get(key)
        if spec is None:
            raise Refusal("no_such_account", key[:4])
        return spec

    def wallet_of(self, market: str) -> str:
        return self._solvency.wallet_of(market).name

    def balances(self, key: str, wallet: str) -> list[Balance]:
        self.account(key)
        assets = self._solvency.assets(key, wallet)
        return [self._solvency.balance(key, wallet, asset) for asset in assets]

    def balance(self, key: str, wallet: str, asset: Asset) -> Balance:
        self.account(key)
        return self._solvency.balance(key, wallet, asset)

    def pool(self, key: str, wallet: str) -> Pool:
        self.account(key)
        return self._solvency.pool(key, wallet)

    def positions(self, key: str, market: str) -> list[Position]:
        self.account(key)
        places = self._holdings.places(key)
        return [self._solvency.position(one) for one in places if split_id(one[1])[1] == market]

    def position(self, key: str, instrument: InstrumentId, index: int = 0) -> Position:
        self.account(key)
        self._floor(instrument)
        return self._solvency.position((key, instrument, index))

    def fees(self, key: str, instrument: InstrumentId) -> tuple[Decimal, Decimal]:
        self.account(key)
        extras = self._floor(instrument).listing.extras
        return extras.maker_fee, extras.taker_fee

    def leverage(self, key: str, instrument: InstrumentId) -> Decimal:
        self.account(key)
        return self._solvency.exposure.leverage(key, self._floor(instrument))

    def set_leverage(self, key: str, instrument: InstrumentId, leverage: Decimal, at: int) -> None:
        self.account(key)
        self._terms.set_leverage(key, self._floor(instrument), leverage)
        self._flush(at)

    def margin_mode(self, key: str, instrument: InstrumentId) -> str:
        self.account(key)
        self._floor(instrument)
        return self._holdings.mode(key, instrument, self.setup.margin_mode)

    def set_margin_mode(self, key: str, instrument: InstrumentId, mode: str, at: int) -> None:
        self.account(key)
        self._terms.set_margin_mode(key, self._floor(instrument), mode)
        self._flush(at)

    def add_margin(
        self, key: str, instrument: InstrumentId, index: int, amount: Money, at: int
    ) -> None:
        self.account(key)
        self._floor(instrument)
        self._terms.add_margin((key, instrument, index), amount)
        self._flush(at)

    def risk_limit(self, key: str, instrument: InstrumentId) -> int:
        self.account(key)
        self._floor(instrument)
        return self._holdings.limit(key, instrument)

    def set_risk_limit(self, key: str, instrument: InstrumentId, number: int, at: int) -> None:
        self.account(key)
        self._terms.set_risk_limit(key, self._floor(instrument), number)
        self._flush(at)

    def hedge_mode(self, key: str, market: str) -> bool:
        self.account(key)
        return self._holdings.hedged(key, market)

    def set_hedge_mode(self, key: str, market: str, on: bool, at: int) -> None:
        self.account(key)
        self._terms.set_hedge_mode(key, market, on)

    def log(self, key: str, wallet: str) -> list[LogRow]:
        self.account(key)
        return self._vault.log(key, wallet)

    def transfer(
        self, key: str, asset: Asset, amount: Money, route: tuple[str, str], at: int
    ) -> int:
        self.account(key)
        number = self._treasury.transfer(key, asset, amount, route, at)
        self._flush(at)
        return number

    def move_money(
        self, key: str, asset: Asset, amount: Money, kind: str, at: int, *, wallet: str = ""
    ) -> int:
        self.account(key)
        number = self._treasury.move((key, wallet, asset), amount, kind, at)
        self._flush(at)
        return number

    # Orders -----------------------------------------------------------------------------------

    def place(self, request: OrderRequest, at: int) -> Order:
        self.account(request.account)
        floor = self._floor(request.instrument)
        try:
            return self._trader.place(request, at)
        finally:
            self._herald.show_book(floor, at)
            self._flush(at)

    def amend(
        self, key: str, order_id: int, *, ticks: int | None, lots: int | None, at: int
    ) -> Order:
        self.account(key)
        order = self._docket.find(key, order_id)
        try:
            return self._trader.amend(key, order_id, ticks, lots, at)
        finally:
            self._herald.show_book(self._floors[order.instrument], at)
            self._flush(at)

    def cancel(self, key: str, order_id: int, at: int, *, reason: str = "user") -> Order:
        self.account(key)
        order = self._trader.cancel(key, order_id, reason, at)
        self._herald.show_book(self._floors[order.instrument], at)
        self._flush(at)
        return order

    def cancel_all(
        self,
        key: str,
        at: int,
        *,
        market: str = "",
        instrument: InstrumentId = "",
        reason: str = "user",
    ) -> list[Order]:
        self.account(key)
        found = self._docket.orders(key, market, instrument, True)
        return [self.cancel(key, order.id, at, reason=reason) for order in found]

    def order(self, key: str, order_id: int) -> Order:
        self.account(key)
        return self._docket.find(key, order_id)

    def order_by_client_id(self, key: str, client_id: str, instrument: InstrumentId = "") -> Order:
        self.account(key)
        return self._docket.by_client_id(key, client_id, instrument)

    def orders(
        self, key: str, *, market: str = "", instrument: InstrumentId = "", only_open: bool = False
    ) -> list[Order]:
        self.account(key)
        return self._docket.orders(key, market, instrument, only_open)

    def fills(
        self, key: str, *, market: str = "", instrument: InstrumentId = "", order_id: int = 0
    ) -> list[Fill]:
        self.account(key)
        return self._docket.fills(key, market, instrument, order_id)

    def fundings(self, key: str, *, market: str = "") -> list[FundingSettled]:
        self.account(key)
        return self._docket.fundings(key, market)

    def sums(self) -> dict[Asset, Money]:
        """Every asset over all customers, the market, fees, funding and outside: zero."""
        return self._vault.sums()

    # Inner steps ------------------------------------------------------------------------------

    def _floor(self, instrument: InstrumentId) -> Floor:
        floor = self._floors.get(instrument)
        if floor is None:
            raise Refusal("no_such_instrument", instrument)
        return floor

    def _apply_book(self, floor: Floor, update: BookUpdate, at: int) -> None:
        hits = floor.book.apply(update.bids, update.asks, full=update.full)
        self._trader.hits(floor, hits, at)
        if not update.sequence:
            self._herald.show_book(floor, at, full=update.full)
            return
        floor.book.bids.collect()
        floor.book.asks.collect()
        floor.sequence = update.sequence
        floor.changed_at = at
        self._outputs.append(
            BookChanged(
                instrument=floor.id,
                sequence_before=update.sequence_before,
                sequence=update.sequence,
                bids=update.bids,
                asks=update.asks,
                at=at,
                full=update.full,
                raw=update.raw,
            )
        )

    def _apply_trade(self, floor: Floor, update: TradeUpdate, at: int) -> None:
        traded = floor.trade(update.ticks, update.lots, update.side, at, update.trade_id)
        self._outputs.append(
            Traded(
                instrument=traded.instrument,
                trade_id=traded.trade_id,
                ticks=traded.ticks,
                lots=traded.lots,
                side=traded.side,
                at=at,
                sequence=traded.sequence,
                raw=update.raw,
            )
        )
        hits = floor.book.pass_trade(update.side, update.ticks, update.lots)
        self._trader.hits(floor, hits, at, traded.trade_id)
        self._herald.show_book(floor, at)

    def _flush(self, at: int) -> None:
        """Tells positions and balances that changed since the last time, each once."""
        if self._holdings.dirty:
            places = dict(self._holdings.dirty)
            self._holdings.dirty.clear()
            for place, cause in places.items():
                position = self._solvency.position(place)
                self._outputs.append(PositionChanged(position=position, cause=cause, at=at))
        if self._vault.dirty:
            purses = dict(self._vault.dirty)
            self._vault.dirty.clear()
            for (key, wallet, asset), cause in purses.items():
                balance = self._solvency.balance(key, wallet, asset)
                self._outputs.append(BalanceChanged(balance=balance, cause=cause, at=at))


def _lot_step(setup: Setup, listing: Listing) -> Decimal:
    """What values of a lot are rounded to, 0: they are not."""
    step = setup.money_steps.get(listing.instrument.settle, setup.money_step)
    return step if setup.lot_values else ZERO
