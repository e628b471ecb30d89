"""What a customer is worth and may risk: balance, pool and position views, margin checks."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from oneprice.model.instrument import split_id
from oneprice.model.units import ROUNDED, ZERO, Asset, InstrumentId, Money, Side
from oneprice.twin.contract import (
    Balance,
    Order,
    Pool,
    Position,
    Refusal,
    Setup,
    WalletSpec,
)
from oneprice.twin.docket import Docket
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings, Place
from oneprice.twin.vault import Vault

_DOLLARS = ("USD", "USDT", "USDC", "DAI", "FDUSD", "TUSD")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is about to be, for the question whether it can be paid."""

    side: Side
    lots: int
    price: Decimal
    position_index: int = 0


class Solvency:
    """Reads vault, holdings and open orders; changes nothing."""

    def __init__(
        self,
        setup: Setup,
        floors: Mapping[InstrumentId, Floor],
        vault: Vault,
        holdings: Holdings,
        docket: Docket,
    ) -> None:
        self._floors = floors
        self._vault = vault
        self._holdings = holdings
        self._docket = docket
        self._wallets = {spec.name: spec for spec in setup.wallets}
        self._by_market = {m: spec for spec in setup.wallets for m in spec.markets}

    def wallet_of(self, market: str) -> WalletSpec:
        spec = self._by_market.get(market)
        if spec is None:
            raise Refusal("bad_request", f"market {market!r}")
        return spec

    # Views ----------------------------------------------------------------------------------

    def balance(self, key: str, wallet: str, asset: Asset) -> Balance:
        spec = self._spec(wallet)
        purse = (key, wallet, asset)
        order_margin = position_margin = maintenance = unrealised = ZERO
        for floor in self._settled_in(spec, asset):
            for index in (0, 1, 2):
                place = (key, floor.id, index)
                held, whole = self._margins(place, floor, None)
                position_margin += held
                order_margin += whole - held
                maintenance += self._position_value(place, floor) * _maintenance(floor)
                unrealised += self._unrealised(place, floor)
        total, locked = self._vault.total(purse), self._vault.held(purse)
        available = total - locked + min(ZERO, unrealised) - position_margin - order_margin
        if not spec.pooled:
            available += max(ZERO, unrealised)
        return Balance(
            account=key,
            wallet=wallet,
            asset=asset,
            total=total,
            locked=locked,
            order_margin=order_margin,
            position_margin=position_margin,
            maintenance_margin=maintenance,
            unrealised=unrealised,
            realised_ever=self._vault.realised(purse),
            available=max(ZERO, available),
            updated_at=self._vault.moved_at(purse),
        )

    def pool(self, key: str, wallet: str) -> Pool:
        """All coins of a wallet in USD; dollar coins count one to one."""
        total = unrealised = initial = maintenance = ZERO
        for asset in self.assets(key, wallet):
            rate = self.dollar_rate(asset)
            balance = self.balance(key, wallet, asset)
            total += balance.total * rate
            unrealised += balance.unrealised * rate
            initial += (balance.order_margin + balance.position_margin) * rate
            maintenance += balance.maintenance_margin * rate
        equity = total + unrealised
        return Pool(
            equity=equity,
            total=total,
            unrealised=unrealised,
            initial_margin=initial,
            maintenance_margin=maintenance,
            available=max(ZERO, equity - initial),
        )

    def assets(self, key: str, wallet: str) -> list[Asset]:
        """Coins that were ever moved here, by name, and those of open positions."""
        spec = self._spec(wallet)
        found = dict.fromkeys(self._vault.assets(key, wallet))
        for _, instrument, _ in self._holdings.places(key):
            floor = self._floors[instrument]
            if floor.instrument.market in spec.markets:
                found[floor.instrument.settle] = None
        return sorted(found)

    def dollar_rate(self, asset: Asset) -> Decimal:
        """USD per coin by the index of an instrument of that base; 0 where there is none."""
        if asset in _DOLLARS:
            return Decimal(1)
        for floor in self._floors.values():
            if floor.instrument.base == asset and floor.instrument.quote in _DOLLARS:
                return floor.index or floor.reference()
        return ZERO

    def position(self, place: Place) -> Position:
        key, instrument, index = place
        floor = self._floors[instrument]
        held = self._holdings.get(place)
        value = self._position_value(place, floor)
        margin, _ = self._margins(place, floor, None)
        return Position(
            account=key,
            instrument=instrument,
            position_index=index,
            lots=held.lots,
            entry=held.entry,
            leverage=self.leverage(key, floor),
            mark=floor.reference(),
            value=value,
            unrealised=self._unrealised(place, floor),
            initial_margin=margin,
            maintenance_margin=value * _maintenance(floor),
            liquidation=self._liquidation(place, floor),
            realised=held.realised,
            realised_ever=held.realised_ever,
            created_at=held.created_at,
            updated_at=held.updated_at,
            sequence=floor.sequence,
        )

    def leverage(self, key: str, floor: Floor) -> Decimal:
        return self._holdings.leverage(key, floor.id, floor.listing.extras.leverage_default)

    # Checks ---------------------------------------------------------------------------------

    def spot_need(self, floor: Floor, wish: Wish) -> tuple[Asset, Money]:
        """What a spot order pays with, and how much."""
        instrument = floor.instrument
        if wish.side is Side.BUY:
            return instrument.quote, floor.value(wish.price, wish.lots)
        return instrument.base, instrument.size(wish.lots)

    def check_spot(self, key: str, floor: Floor, wish: Wish) -> None:
        spec = self.wallet_of(floor.instrument.market)
        asset, need = self.spot_need(floor, wish)
        balance = self.balance(key, spec.name, asset)
        spendable = balance.available
        if spec.pooled:
            # a swap of coins keeps the wallet's worth, so only one that margin eats up is stopped
            free = balance.total - balance.locked
            spendable = free if self._solvent(key, spec.name) else ZERO
        if need > spendable:
            raise Refusal("insufficient_funds", f"{asset}: needs {need}, has {spendable}")

    def check_margin(self, key: str, floor: Floor, wish: Wish) -> None:
        """Initial margin added by the order, and its fee as a taker."""
        place = (key, floor.id, wish.position_index)
        _, before = self._margins(place, floor, None)
        _, after = self._margins(place, floor, wish)
        if after <= before:
            return
        fee = floor.value(wish.price, wish.lots) * max(ZERO, floor.listing.extras.taker_fee)
        need = after - before + fee
        spec = self.wallet_of(floor.instrument.market)
        asset = floor.instrument.settle
        if spec.pooled:
            need *= self.dollar_rate(asset)
            have = self.pool(key, spec.name).available
        else:
            have = self.balance(key, spec.name, asset).available
        if need > have:
            raise Refusal("insufficient_margin", f"{asset}: needs {need:f}, has {have:f}")

    def _solvent(self, key: str, wallet: str) -> bool:
        pool = self.pool(key, wallet)
        return not pool.initial_margin or pool.equity > pool.initial_margin

    # Arithmetic -------------------------------------------------------------------------------

    def _margins(self, place: Place, floor: Floor, wish: Wish | None) -> tuple[Money, Money]:
        """Initial margin of the position alone, and of position and orders together.

        Orders that would close the position cost nothing; of buys and sells the dearer side
        counts (Bybit help "Initial Margin"; Binance "Margin calculation, open orders").
        """
        key, instrument, index = place
        lots = self._holdings.get(place).lots
        leverage = self.leverage(key, floor)
        orders = self._docket.open_in(key, instrument)
        held = self._position_value(place, floor)
        if not orders and wish is None:
            margin = ROUNDED.divide(held, leverage) if held else ZERO
            return margin, margin
        exposures = []
        for side in (Side.BUY, Side.SELL):
            wishes = [_wish(order, floor) for order in orders if _adds(order, side, index)]
            if wish is not None and wish.side is side:
                wishes.append(wish)
            count = sum(one.lots for one in wishes)
            value = sum((floor.value(one.price, one.lots) for one in wishes), ZERO)
            same_way = lots * side > 0
            opens = count if same_way or not lots else max(0, count - abs(lots))
            opening = value * opens / count if count else ZERO
            exposures.append(opening + (held if same_way else ZERO))
        whole = max(held, *exposures)
        return ROUNDED.divide(held, leverage), ROUNDED.divide(whole, leverage)

    def _position_value(self, place: Place, floor: Floor) -> Money:
        lots = self._holdings.get(place).lots
        return floor.value(floor.reference(), abs(lots)) if lots else ZERO

    def _unrealised(self, place: Place, floor: Floor) -> Money:
        held = self._holdings.get(place)
        if not held.lots:
            return ZERO
        return floor.instrument.profit(held.entry, floor.reference(), held.lots)

    def _liquidation(self, place: Place, floor: Floor) -> Decimal:
        """A cross-margin estimate by the wallet's free money in this coin; 0 where none."""
        held = self._holdings.get(place)
        if not held.lots:
            return ZERO
        wallet = self.wallet_of(split_id(floor.id)[1]).name
        cushion = self.balance(place[0], wallet, floor.instrument.settle).available
        value = self._position_value(place, floor)
        share = ROUNDED.divide(cushion, value) if value else ZERO
        direction = 1 if held.lots > 0 else -1
        price = floor.reference() * (1 - direction * share)
        return max(ZERO, price).quantize(floor.instrument.tick)

    def _settled_in(self, spec: WalletSpec, asset: Asset) -> list[Floor]:
        return [
            floor
            for floor in self._floors.values()
            if floor.instrument.is_derivative
            and floor.instrument.settle == asset
            and floor.instrument.market in spec.markets
        ]

    def _spec(self, wallet: str) -> WalletSpec:
        spec = self._wallets.get(wallet)
        if spec is None:
            raise Refusal("bad_request", f"wallet {wallet!r}")
        return spec


def _maintenance(floor: Floor) -> Decimal:
    return floor.listing.extras.maintenance_rate


def _wish(order: Order, floor: Floor) -> Wish:
    return Wish(side=order.side, lots=order.leaves_lots, price=floor.instrument.price(order.ticks))


def _adds(order: Order, side: Side, index: int) -> bool:
    """Whether an open order counts on this side of this position."""
    return order.side is side and order.position_index == index and not order.reduce_only
