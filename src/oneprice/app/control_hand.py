"""A hand of one's own at a venue: cancels, flattens and verifies where no trader does it.

It speaks HTTP alone, since that needs the fewest things to be well; only the prices of what must
be flattened come from public books. Derivatives are closed reduce-only, spot legs within what is
still to be given back and within what the venue says is there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.app.build import spec_of, wanted_of
from oneprice.app.config import VenueConfig
from oneprice.app.control_prices import Prices
from oneprice.app.control_report import VenueLeft
from oneprice.app.control_spot import LegKey, SpotPurse
from oneprice.app.run import endpoints_of
from oneprice.app.session import session_name
from oneprice.app.station import NotHeard, Station
from oneprice.core.account import Accounts
from oneprice.model.commands import (
    CancelAll,
    PlaceOrder,
    Priority,
    QueryAccount,
    QueryOrder,
    TimeInForce,
)
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FrameRejected,
    InstrumentListed,
    OpenOrderReported,
    OrderEnded,
    OrderRefused,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.settings import EngineSettings
from oneprice.model.units import InstrumentId, Lots, OrderId, Side, Ticks
from oneprice.shell.gateway import NoAnswer
from oneprice.venues.contract import Credentials

CONNECT_S = 20.0
ANSWER_S = 6.0
FIRST_ANSWER_S = 0.5
OUTCOME_S = 4.0
ASK_EVERY_S = 0.25
CANCELS_MAX = 5  # attempts in one act
FLATTENS_MAX = 8
PAUSE_S = 0.3
COLLAR_BPS, COLLAR_BPS_MAX = 50, 500  # limits beyond the touch; widened with every attempt
WEATHER = (NoAnswer, NotHeard, TimeoutError, ConnectionError, ValueError)


class Told(msgspec.Struct, frozen=True):
    """What a venue said in full."""

    orders: list[OpenOrderReported]
    positions: dict[InstrumentId, Lots]
    accounts: Accounts


class Hand:
    """One venue, until closed. Weather is told as trouble, and never raised."""

    def __init__(
        self,
        venue: VenueConfig,
        keys: Credentials,
        engine: EngineSettings,
        off: Callable[[], bool] | None = None,
    ) -> None:
        # No sign of life of ours may wind the venue's own switch up again.
        self._venue = msgspec.structs.replace(venue, order_entry="rest", dead_man_ms=0)
        self._engine = engine
        self._ends = endpoints_of(spec_of(venue.name), venue, None)
        self._off = off if off is not None else bool  # whether the trader looks after it again
        self._station = Station(self._venue, keys, self._ends, wanted_of(venue))
        self._prefix = session_name(self._station.clock.now())
        self._sent = 0
        self._listed: Mapping[InstrumentId, Instrument] = {}
        self._troubles: dict[str, None] = {}  # of this round
        self.cancelled: dict[str, None] = {}
        self.closed: dict[str, None] = {}

    async def look(self) -> VenueLeft:
        """What is there; nothing is changed."""
        try:
            await self._reach()
            return self._left(await self._ask(), [])
        except WEATHER as error:
            return self._unknown(error)

    async def act(self, *, flatten: bool, purse: SpotPurse | None) -> VenueLeft:
        """Cancel everything, flatten where it is wanted; what the venue says is left."""
        self._troubles.clear()
        try:
            await self._reach()
            told = await self._cancel()
            coins: list[str] = []
            if flatten and (told.positions or (purse and purse.left(self._venue.name))):
                told, coins = await self._flatten(told, purse)
            return self._left(told, coins)
        except WEATHER as error:
            return self._unknown(error)

    async def close(self) -> None:
        await self._station.close()

    async def _reach(self) -> None:
        """Once: what it knows of the venue's allowances must outlive a round."""
        if self._listed:
            return
        async with asyncio.timeout(CONNECT_S):
            await self._station.gateway.prepare()
        found = self._station.find(InstrumentListed)
        self._listed = {event.instrument.id: event.instrument for event in found}

    def _unknown(self, error: Exception) -> VenueLeft:
        why = str(error) or f"no answer within {CONNECT_S:g} s"
        return VenueLeft(venue=self._venue.name, answered=False, trouble=why)

    def _left(self, told: Told, coins: Sequence[str]) -> VenueLeft:
        return VenueLeft(
            venue=self._venue.name,
            answered=True,
            orders=[f"{_name(o)} in {o.instrument}" for o in told.orders],
            positions=[self._sized(i, lots) for i, lots in told.positions.items()],
            coins=list(coins),
            trouble="; ".join(list(self._troubles)[-3:]),
        )

    def _sized(self, instrument: InstrumentId, lots: int) -> str:
        listed = self._listed.get(instrument)
        size = f"{listed.size(lots):+f}" if listed is not None else f"{lots:+d} lots"
        return f"{instrument} {size}"

    # Asking --------------------------------------------------------------------------------

    async def _ask(self, seconds: float = ANSWER_S) -> Told:
        """Everything about the account; NotHeard where it is not told in full."""
        station, since = self._station, self._station.mark()
        wanted = self._venue.in_markets
        for market in wanted:
            station.say(QueryAccount(venue=self._venue.name, market=market))

        def answered() -> bool:
            checked = [event.market for event in station.find(AccountChecked, since=since)]
            return all(market in checked for market in wanted)

        try:
            await station.until(answered, "an account in full", seconds)
        except NotHeard as error:
            refused = station.find(FrameRejected, since=since)
            words = list(dict.fromkeys(f"{e.socket}: {e.reason}" for e in refused))[:3]
            raise NotHeard("; ".join(words) or str(error)) from None
        orders = {
            (_name(e), e.instrument): e for e in station.find(OpenOrderReported, since=since)
        }
        lots = {e.instrument: e.lots for e in station.find(PositionReported, since=since)}
        accounts = Accounts(self._engine)
        for balance in station.find(BalanceReported):
            accounts.hear(balance)
        return Told(list(orders.values()), {i: n for i, n in lots.items() if n}, accounts)

    # Cancelling ----------------------------------------------------------------------------

    async def _cancel(self) -> Told:
        """Everything that rests; in every configured instrument whatever is said to be there."""
        with contextlib.suppress(NotHeard):  # for the report; a slow answer is not waited for
            there = await self._ask(FIRST_ANSWER_S)
            self.cancelled |= dict.fromkeys(_name(order) for order in there.orders)
        for wanted in wanted_of(self._venue):
            self._cancel_all(wanted.instrument)
        told = await self._ask()
        for _ in range(CANCELS_MAX):
            self.cancelled |= dict.fromkeys(_name(order) for order in told.orders)
            if not told.orders or self._off():
                break
            for instrument in dict.fromkeys(order.instrument for order in told.orders):
                self._cancel_all(instrument)
            await asyncio.sleep(PAUSE_S)
            told = await self._ask()
        for order in told.orders:
            self.cancelled.pop(_name(order), None)
        return told

    def _cancel_all(self, instrument: InstrumentId) -> None:
        if instrument in self._listed:
            self._station.say(CancelAll(instrument=instrument))
        else:
            self._troubles[f"{instrument} is not listed"] = None

    # Flattening ----------------------------------------------------------------------------

    async def _flatten(self, told: Told, purse: SpotPurse | None) -> tuple[Told, list[str]]:
        """Close what is held. What is left then, and the spot legs among it."""
        name, first = self._venue.name, dict(told.positions)
        spot = [key[1] for key in purse.left(name)] if purse is not None else []
        wanted = [i for i in dict.fromkeys([*told.positions, *spot]) if i in self._listed]
        prices = await Prices.open(self._venue, self._ends, wanted)
        try:
            for attempt in range(FLATTENS_MAX):
                collar = min(COLLAR_BPS * (attempt + 1), COLLAR_BPS_MAX)
                legs = self._spot_legs(told, purse, prices)
                orders = [
                    order
                    for instrument, lots in told.positions.items()
                    if (order := self._closing(instrument, lots, prices, collar)) is not None
                ]
                if self._off() or not (orders or legs):
                    break
                await asyncio.gather(
                    self._send(orders), *(self._sell(k, n, prices, collar, purse)
                                          for k, n in legs.items()),
                )  # fmt: skip
                told = await self._ask()
            left = self._spot_legs(told, purse, prices)
        finally:
            await prices.close()
        self.closed |= {
            self._sized(i, n): None for i, n in first.items() if i not in told.positions
        }
        return told, [self._sized(key[1], lots) for key, lots in left.items()]

    def _closing(
        self, instrument: InstrumentId, lots: int, prices: Prices, collar_bps: int
    ) -> PlaceOrder | None:
        """The order that takes a held size away; None where nothing says at what price."""
        listed = self._listed.get(instrument)
        side = Side.SELL if lots > 0 else Side.BUY
        touch = prices.touch(instrument, side)
        if listed is None or touch is None:
            self._troubles[f"{instrument}: no price to close {lots:+d} lots at"] = None
            return None
        reach = max(1, touch * collar_bps // 10_000)
        size = min(abs(lots), listed.lots_max) if listed.lots_max else abs(lots)
        self._sent += 1
        return PlaceOrder(
            order_id=f"{self._prefix}k{self._sent}",
            group="kill",
            instrument=instrument,
            side=side,
            ticks=Ticks(max(1, touch + int(side) * reach)),
            lots=Lots(size),
            time_in_force=TimeInForce.IOC,
            reduce_only=listed.is_derivative,
            priority=Priority.UNWIND,
        )

    async def _send(self, orders: Sequence[PlaceOrder]) -> dict[OrderId, int | None]:
        """Filled lots by order, None where nobody could tell what became of it."""
        station, ids = self._station, {order.order_id: order for order in orders}
        mark = station.mark()
        for order in orders:
            station.say(order)
        ended: dict[OrderId, int | None] = {}
        for _ in range(int(OUTCOME_S / ASK_EVERY_S)):
            for event in station.find(OrderEnded, since=mark):
                if event.order_id in ids:
                    ended[event.order_id] = event.filled_lots
            for refused in station.find(OrderRefused, since=mark):
                if refused.order_id in ids:
                    ended[refused.order_id] = 0
                    place = ids[refused.order_id].instrument
                    self._troubles[f"{place}: {refused.reason} {refused.text}".strip()] = None
            waiting = [order for name, order in ids.items() if name not in ended]
            if not waiting:
                break
            for order in waiting:
                station.say(QueryOrder(order_id=order.order_id, instrument=order.instrument))
            await asyncio.sleep(ASK_EVERY_S)
        return {name: ended.get(name) for name in ids}

    # Spot ----------------------------------------------------------------------------------

    def _spot_legs(self, told: Told, purse: SpotPurse | None, prices: Prices) -> dict[LegKey, int]:
        """Signed lots that can be given back: there, and large enough to be an order."""
        if purse is None:
            return {}
        found: dict[LegKey, int] = {}
        there: dict[str, Decimal] = {}
        for key, lots in purse.left(self._venue.name).items():
            listed = self._listed.get(key[1])
            if listed is None:
                self._troubles[f"{key[1]} is not listed"] = None
                continue
            size = lots
            if lots > 0:  # never more than there is, whatever our books say
                coins = there.setdefault(listed.base, _coins(told.accounts, listed))
                size = min(lots, int(coins / listed.base_per_lot()))
                there[listed.base] = coins - size * listed.base_per_lot()
            touch = prices.touch(key[1], Side.SELL if lots > 0 else Side.BUY)
            small = touch is not None and listed.notional(touch, abs(size)) < listed.notional_min
            if size and abs(size) >= listed.lots_min and not small:
                found[key] = size
        return found

    async def _sell(
        self, key: LegKey, lots: int, prices: Prices, collar_bps: int, purse: SpotPurse | None
    ) -> None:
        """Give a leg back; noted on disk before, so that nobody gives it back twice."""
        order = self._closing(key[1], lots, prices, collar_bps)
        if order is None or purse is None:
            return
        sent = int(order.lots) if lots > 0 else -int(order.lots)
        try:
            purse.take(key, sent)
        except OSError as error:
            self._troubles[f"{key[1]}: not given back: {error.filename}: {error.strerror}"] = None
            return
        filled = (await self._send([order]))[order.order_id]
        if filled is None:
            self._troubles[f"{key[1]}: order {order.order_id}: nobody knows what became of it"] = (
                None
            )
            return
        rest = int(order.lots) - filled
        if rest:
            purse.take(key, -rest if lots > 0 else rest)
        if filled:
            self.closed[self._sized(key[1], filled if lots > 0 else -filled)] = None


def _coins(accounts: Accounts, listed: Instrument) -> Decimal:
    """What of the base coin can be sold, in the wallet behind the market."""
    wallet = accounts.wallet_of(listed.venue, listed.market)
    told = accounts.balances.get((listed.venue, wallet, listed.base))
    if told is None:
        return Decimal(0)
    return told.total if told.available is None else min(told.total, told.available)


def _name(order: OpenOrderReported) -> str:
    return order.order_id or order.venue_order_id
