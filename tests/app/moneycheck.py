"""Our ledger beside a twin's own books: every asset of every wallet, to the last unit."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
from house import Hedge, House

from oneprice.core.strategy import Intent, IntentLeg, News, View
from oneprice.model.instrument import Payoff, split_id
from oneprice.model.units import Lots
from oneprice.twin.contract import LogRow

OTHER_NAMES = {"BTC": "XBT"}  # what some venues call a coin within


class Swing(Hedge):
    """A hedge that is also given back, in parts, when it is told which holding to reduce."""

    closes = ""

    def propose(self, news: News, view: View) -> Iterable[Intent]:
        for intent in super().propose(news, view):
            legs = _of_one_size(intent.legs, view)
            if not self.closes:
                yield msgspec.structs.replace(intent, legs=legs)
                continue
            legs = tuple(
                msgspec.structs.replace(leg, reduce_only=":spot:" not in leg.instrument)
                for leg in legs
            )
            yield msgspec.structs.replace(
                intent, closes=self.closes, reason="converged", legs=legs
            )


def _of_one_size(legs: tuple[IntentLeg, ...], view: View) -> tuple[IntentLeg, ...]:
    """So many dollars are so many coins only at one price: the finer contract follows."""
    items = {leg.instrument: view.instrument(leg.instrument) for leg in legs}
    if any(item is None or item.payoff is not Payoff.INVERSE for item in items.values()):
        return legs

    def coins(leg: IntentLeg, lots: int) -> Decimal:
        item = items[leg.instrument]
        assert item is not None
        return item.base_size(leg.touch, lots)

    fine, coarse = sorted(legs, key=lambda leg: coins(leg, 1))
    lots = Lots(round(coins(coarse, coarse.lots) / coins(fine, 1)))
    return tuple(msgspec.structs.replace(leg, lots=lots) if leg is fine else leg for leg in legs)


def held(house: House) -> list[str]:
    """The holdings that are open, oldest first."""
    return [holding.id for holding in house.engine.report.holdings()]


def twin_purses(house: House, venue: str) -> dict[tuple[str, str], Decimal]:
    """(wallet as we name it, asset as the twin spells it) to its balance there."""
    exchange = house.twins[venue].twin.exchange
    key = exchange.accounts()[0].key
    return {
        (our_wallet(house, venue, spec.markets), asset): exchange.balance(
            key, spec.name, asset
        ).total
        for spec in exchange.setup.wallets
        for asset in exchange._vault.assets(key, spec.name)
    }


def our_wallet(house: House, venue: str, markets: Iterable[str]) -> str:
    """The wallet behind any of these markets that we trade in; nothing else is ours."""
    mine = split_id(house.legs[venue])[1]
    return house.engine._accounts.wallet_of(venue, mine) if mine in markets else ""


def log_of(house: House, venue: str, wallet: str, asset: str) -> list[LogRow]:
    """The twin's own transaction log of one asset."""
    exchange = house.twins[venue].twin.exchange
    rows = [
        row
        for spec in exchange.setup.wallets
        if our_wallet(house, venue, spec.markets) == wallet
        for row in exchange.log(exchange.accounts()[0].key, spec.name)
    ]
    return [row for row in rows if row.asset == asset]


def differences(house: House) -> list[str]:
    """Where our ledger, a twin's balance and opening plus log are not one number."""
    found: list[str] = []
    ours = house.engine.report.balances()
    for venue in house.legs:
        theirs = twin_purses(house, venue)
        for (wallet, asset), total in theirs.items():
            if not wallet:
                continue
            logged = sum((r.change for r in log_of(house, venue, wallet, asset)), Decimal(0))
            if logged != total:
                found.append(f"{venue} {wallet} {asset}: log {logged}, balance {total}")
        for (there, wallet, asset), amount in ours.items():
            if there != venue or not any(wallet == known for known, _ in theirs):
                continue
            names = (asset, OTHER_NAMES.get(asset, asset))
            told = next((theirs[wallet, n] for n in names if (wallet, n) in theirs), Decimal(0))
            if amount != told:
                found.append(f"{venue} {wallet} {asset}: ours {amount}, theirs {told}")
    return found


def positions_agree(house: House) -> bool:
    ours = house.engine.report.positions()
    return all(
        ours.get(leg, 0) == house.lots(venue)
        for venue, leg in house.legs.items()
        if split_id(leg)[1] != "spot"
    )
