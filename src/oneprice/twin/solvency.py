"""What a customer is worth and may risk: balance, pool and position views, margin checks."""

from collections.abc import Mapping
from decimal import Decimal

from oneprice.model.units import ZERO, Asset, InstrumentId, Money, Side
from oneprice.twin.contract import (
    Balance,
    Pool,
    Position,
    Refusal,
    Setup,
    WalletSpec,
)
from oneprice.twin.exposure import Exposure, Wish, price_where, tier_of, tiers_of
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings, Place
from oneprice.twin.vault import Vault

_DOLLARS = ("USD", "USDT", "USDC", "DAI", "FDUSD", "TUSD")
INDICES = (0, 1, 2)  # one-way, long side, short side


class Solvency:
    """Reads vault, holdings and open orders; changes nothing."""

    def __init__(
        self,
        setup: Setup,
        floors: Mapping[InstrumentId, Floor],
        vault: Vault,
        holdings: Holdings,
        exposure: Exposure,
    ) -> None:
        self.exposure = exposure
        self._quote_fees = setup.quote_fees
        self._floors = floors
        self._vault = vault
        self._holdings = holdings
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
        order_margin = position_margin = maintenance = unrealised = fixed = ZERO
        for floor in self._settled_in(spec, asset):
            for index in INDICES:
                place = (key, floor.id, index)
                held, whole = self.exposure.margins(place, floor, None)
                position_margin += held
                order_margin += whole - held
                maintenance += self.exposure.maintenance(place, floor)
                profit = self.exposure.unrealised(place, floor)
                unrealised += profit
                if self.exposure.isolated(place):
                    fixed += profit  # neither feeds nor eats what other orders may use
        total, locked = self._vault.total(purse), self._vault.held(purse)
        floating = unrealised - fixed
        available = total - locked + min(ZERO, floating) - position_margin - order_margin
        if not spec.pooled:
            available += max(ZERO, floating)
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
        value = self.exposure.value(place, floor)
        margin, _ = self.exposure.margins(place, floor, None)
        bracket = tier_of(floor, value)
        cushion = self.cushion(place) if held.lots else ZERO
        tick = floor.instrument.tick
        return Position(
            account=key,
            instrument=instrument,
            position_index=index,
            lots=held.lots,
            entry=held.entry,
            leverage=self.exposure.leverage(key, floor),
            mark=floor.reference(),
            value=value,
            unrealised=self.exposure.unrealised(place, floor),
            initial_margin=margin,
            maintenance_margin=self.exposure.maintenance(place, floor),
            liquidation=price_where(floor, held.lots, cushion, bracket).quantize(tick),
            realised=held.realised,
            realised_ever=held.realised_ever,
            created_at=held.created_at,
            updated_at=held.updated_at,
            sequence=floor.sequence,
            margin_mode="isolated" if self.exposure.isolated(place) else "cross",
            margin=held.margin,
            cost=held.cost,
            bankruptcy=price_where(floor, held.lots, cushion, None).quantize(tick),
            tier=bracket.number,
            adl_rank=self.exposure.rank(place, floor),
            fees=held.fees,
            funding=held.funding,
        )

    def cushion(self, place: Place) -> Money:
        """What a position may lose from here on, in settle, maintenance of others left alone.

        Isolated: the margin set aside for it. Cross: the equity of its coin (in a pooled wallet
        of all coins) that no isolated position and no other position's maintenance needs.
        """
        key, instrument, _ = place
        floor = self._floors[instrument]
        if self.exposure.isolated(place):
            return self._holdings.get(place).margin + self.exposure.unrealised(place, floor)
        spec = self.wallet_of(floor.instrument.market)
        settle = floor.instrument.settle
        equity, maintenance = self.cross(key, spec, settle)
        if not spec.pooled:
            return equity - maintenance + self.exposure.maintenance(place, floor)
        rate = self.dollar_rate(settle)
        if not rate:
            return ZERO
        return (equity - maintenance) / rate + self.exposure.maintenance(place, floor)

    def cross(self, key: str, spec: WalletSpec, settle: Asset) -> tuple[Money, Money]:
        """Equity and maintenance margin of all cross positions: per coin, pooled: in USD."""
        if not spec.pooled:
            return self._cross_coin(key, spec, settle)
        equity = maintenance = ZERO
        for asset in self.assets(key, spec.name):
            rate = self.dollar_rate(asset)
            mine, needed = self._cross_coin(key, spec, asset)
            equity += mine * rate
            maintenance += needed * rate
        return equity, maintenance

    def _cross_coin(self, key: str, spec: WalletSpec, asset: Asset) -> tuple[Money, Money]:
        equity, maintenance = self._vault.total((key, spec.name, asset)), ZERO
        for floor in self._settled_in(spec, asset):
            for index in INDICES:
                place = (key, floor.id, index)
                if self.exposure.isolated(place):
                    equity -= self._holdings.get(place).margin
                else:
                    equity += self.exposure.unrealised(place, floor)
                    maintenance += self.exposure.maintenance(place, floor)
        return equity, maintenance

    # Checks ---------------------------------------------------------------------------------

    def spot_need(self, floor: Floor, wish: Wish) -> tuple[Asset, Money]:
        """What a spot order pays with, and how much."""
        instrument = floor.instrument
        if wish.side is Side.BUY:
            value = floor.value(wish.price, wish.lots)
            if self._quote_fees:
                value += value * max(ZERO, floor.listing.extras.taker_fee)
            return instrument.quote, value
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
        """Initial margin added by the order, and its fee as a taker; the size it may reach."""
        place = (key, floor.id, wish.position_index)
        _, before = self.exposure.margins(place, floor, None)
        _, after = self.exposure.margins(place, floor, wish)
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
        self._check_bracket(place, floor, wish)

    def _check_bracket(self, place: Place, floor: Floor, wish: Wish) -> None:
        """A position grows no further than its leverage or the chosen risk limit allow."""
        held, whole = self.exposure.values(place, floor, wish)
        leverage = self.exposure.leverage(place[0], floor)
        limit = self._holdings.limit(place[0], floor.id)
        tiers = [
            one
            for one in tiers_of(floor)
            if one.leverage_max >= leverage and (not limit or one.number <= limit)
        ]
        most = tiers[-1].value_to if tiers else ZERO
        if most and whole > most and whole > held:
            raise Refusal("risk_limit", f"{whole:f} is above {most:f} at leverage {leverage}")

    def _solvent(self, key: str, wallet: str) -> bool:
        pool = self.pool(key, wallet)
        return not pool.initial_margin or pool.equity > pool.initial_margin

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
