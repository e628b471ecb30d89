"""User data of futures: ORDER_TRADE_UPDATE, TRADE_LITE, ACCOUNT_UPDATE, ACCOUNT_CONFIG_UPDATE."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.units import ZERO, plain
from oneprice.twin.contract import (
    Balance,
    BalanceChanged,
    Exchange,
    Fill,
    Filled,
    FundingSettled,
    Kind,
    Order,
    OrderChanged,
    Output,
    Position,
    PositionChanged,
)
from oneprice.twin.dialects.binance.accounts import alias_of, isolated_wallet
from oneprice.twin.dialects.binance.shapes import (
    POSITION_SIDES,
    STP_TO_WIRE,
    Catalog,
    fill_price,
    fixed,
    futures_tif,
    limit_ticks,
    millis,
    side_word,
    status,
    system_id,
)
from oneprice.twin.dialects.binance.spot_events import FROM_OUTSIDE, GIFTS, Mail

_ENDINGS = {
    "ioc": "2",
    "self_trade": "1",
    "reduce_only": "4",
    "liquidated": "5",
    "delisted": "7",
}
_BY_FILLS = ("fill", "liquidation", "adl", "delivery", "insurance")
_OF_TRADES = ("trade", "funding", "liquidation", "adl", "delivery", "insurance")


class _Touched(msgspec.Struct):
    """What the fills of one batch changed for one customer."""

    coins: dict[str, Balance]
    positions: dict[tuple[str, int], Position]


class FuturesEvents:
    """Turns outputs of the exchange into a customer's events, one batch at a time."""

    def __init__(self, exchange: Exchange, catalog: Catalog, product: str = "usdm") -> None:
        self.exchange = exchange
        self.catalog = catalog
        self.product = product
        self._wallet = exchange.wallet_of(product)
        self._realised: dict[tuple[str, str], Decimal] = {}  # before fees, since the start

    def mail(self, outputs: Sequence[Output], at: int) -> Mail:
        """Events of one batch; one ACCOUNT_UPDATE follows the fills that caused it."""
        mail: Mail = []
        touched: dict[str, _Touched] = {}
        for output in outputs:
            match output:
                case OrderChanged(order=order) if self._mine(order.instrument):
                    mail.append((order.account, self._changed(output, at)))
                case Filled(order=order, fill=fill) if self._mine(order.instrument):
                    mail.append((order.account, self._lite(fill, order, at)))
                    mail.append((order.account, self._filled(fill, order, at)))
                case FundingSettled() if self._mine(output.instrument):
                    mail.append((output.account, self._funding(output, at)))
                case PositionChanged(position=row) if self._mine(row.instrument):
                    if output.cause == "leverage":
                        mail.append((row.account, self._config(row, at)))
                    elif output.cause == "margin":
                        mail.append((row.account, self._margin(row, at)))
                    elif output.cause in _BY_FILLS:
                        slot = touched.setdefault(row.account, _Touched({}, {}))
                        slot.positions[(row.instrument, row.position_index)] = row
                case BalanceChanged(balance=row) if row.wallet == self._wallet:
                    if output.cause in _BY_FILLS:
                        touched.setdefault(row.account, _Touched({}, {})).coins[row.asset] = row
                    if output.cause == "insurance":
                        mail.append((row.account, self._cleared(row, at)))
                    elif output.cause in FROM_OUTSIDE:
                        mail.append((row.account, self._moved(row, at)))
        for account, slot in touched.items():
            mail.append((account, self._account(slot, at)))
        return [(account, self._named(account, event)) for account, event in mail]

    def _named(self, account: str, event: dict[str, Any]) -> dict[str, Any]:
        """COIN-M says whose event it is by the account's alias, USD-M does not."""
        if self.product != "coinm" or event["e"] not in ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"):
            return event
        return event | {"i": alias_of(account)}

    def _mine(self, instrument: str) -> bool:
        return self.catalog.market(instrument) == self.product

    # Orders ------------------------------------------------------------------------------

    def _changed(self, output: OrderChanged, at: int) -> dict[str, Any]:
        match output.cause:
            case "new":
                kind = "NEW"
            case "amended":
                kind = "AMENDMENT"
            case "cancelled" if status(output.order) == "CANCELED":
                kind = "CANCELED"
            case _:
                kind = "EXPIRED"
        return self._update(output.order, kind, at, output.at)

    def _update(self, order: Order, kind: str, at: int, when: int) -> dict[str, Any]:
        grid = self.catalog.grid(order.instrument)
        zero = grid.size(0)
        body: dict[str, Any] = {
            "s": self.catalog.symbol(order.instrument),
            "c": system_id(order, self.catalog.instrument(order.instrument)),
            "S": side_word(order.side),
            "o": order.kind.value.upper(),
            "f": futures_tif(order),
            "q": grid.size(order.lots),
            "p": grid.price(limit_ticks(order)),
            "ap": fixed(order.average, grid.price_places) if order.filled_lots else "0",
            "sp": "0",
            "x": kind,
            "X": status(order),
            "i": order.id,
            "l": zero,
            "z": grid.size(order.filled_lots),
            "L": "0",
            "T": millis(when),
            "t": 0,
            "b": "0",
            "a": "0",
            "m": False,
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": order.kind.value.upper(),
            "ps": POSITION_SIDES[order.position_index],
            "cp": False,
            "pP": False,
            "si": 0,
            "ss": 0,
            "rp": "0",
            "V": STP_TO_WIRE[order.self_trade],
            "pm": "NONE",
            "gtd": 0,
            "er": _ending(order) if kind == "EXPIRED" else "0",
        }
        if self.product == "coinm":
            body["ma"] = self.catalog.instrument(order.instrument).settle
        return {"e": "ORDER_TRADE_UPDATE", "E": millis(at), "T": millis(when), "o": body}

    def _filled(self, fill: Fill, order: Order, at: int) -> dict[str, Any]:
        place = (fill.account, fill.instrument)
        self._realised[place] = self._realised.get(place, ZERO) + fill.realised
        grid = self.catalog.grid(order.instrument)
        forced = fill.reason in ("liquidation", "adl")
        event = self._update(order, "CALCULATED" if forced else "TRADE", at, fill.at)
        event["o"] |= {
            "l": grid.size(fill.lots),
            "L": fill_price(fill, grid),
            "N": fill.fee_asset,
            "n": fixed(fill.fee),
            "t": fill.trade_id,
            "m": fill.maker,
            "rp": fixed(fill.realised) if fill.realised else "0",
        }
        return event

    def _lite(self, fill: Fill, order: Order, at: int) -> dict[str, Any]:
        grid = self.catalog.grid(order.instrument)
        return {
            "e": "TRADE_LITE",
            "E": millis(at),
            "T": millis(fill.at),
            "s": self.catalog.symbol(order.instrument),
            "q": grid.size(order.lots),
            "p": grid.price(limit_ticks(order)),
            "m": fill.maker,
            "c": system_id(order, self.catalog.instrument(order.instrument)),
            "S": side_word(order.side),
            "L": fill_price(fill, grid),
            "l": grid.size(fill.lots),
            "t": fill.trade_id,
            "i": order.id,
        }

    # Account -----------------------------------------------------------------------------

    def _account(self, slot: _Touched, at: int) -> dict[str, Any]:
        coins = list(slot.coins.values())
        for position in slot.positions.values():  # a position never comes without its coin
            coin = self.catalog.instrument(position.instrument).settle
            if coin not in slot.coins:
                slot.coins[coin] = self.exchange.balance(position.account, self._wallet, coin)
                coins = list(slot.coins.values())
        when = max(
            [row.updated_at for row in slot.positions.values()]
            or [row.updated_at for row in coins]
        )
        return _account_update(
            "ORDER",
            [_coin(row.asset, row.total, ZERO) for row in coins],
            [self._position(row) for row in slot.positions.values()],
            (at, when),
        )

    def _position(self, row: Position) -> dict[str, Any]:
        grid = self.catalog.grid(row.instrument)
        return {
            "s": self.catalog.symbol(row.instrument),
            "pa": grid.size(row.lots),
            "ep": _price(row.entry),
            "bep": _price(row.entry),
            "cr": plain(self._realised.get((row.account, row.instrument), ZERO)),
            "up": fixed(row.unrealised),
            "mt": row.margin_mode,
            "iw": isolated_wallet(row),
            "ps": POSITION_SIDES[row.position_index],
        }

    def _funding(self, settled: FundingSettled, at: int) -> dict[str, Any]:
        """Cross margin: the balance only, so the symbol cannot be seen; isolated: both."""
        total = ZERO
        for row in reversed(self.exchange.log(settled.account, self._wallet)):
            if row.kind == "funding" and row.instrument == settled.instrument:
                total = row.balance
                break
        coins = [_coin(settled.asset, total, settled.amount)]
        place = (settled.account, settled.instrument, settled.position_index)
        held = self.exchange.position(*place)
        positions = [self._position(held)] if held.margin_mode == "isolated" else []
        return _account_update("FUNDING_FEE", coins, positions, (at, settled.at))

    def _cleared(self, balance: Balance, at: int) -> dict[str, Any]:
        """The insurance fund's part of a liquidation."""
        change = ZERO
        for row in reversed(self.exchange.log(balance.account, self._wallet)):
            if row.asset == balance.asset and row.kind == "insurance":
                change = row.change
                break
        coins = [_coin(balance.asset, balance.total, change)]
        return _account_update("INSURANCE_CLEAR", coins, [], (at, balance.updated_at))

    def _margin(self, row: Position, at: int) -> dict[str, Any]:
        """Margin type changed while flat, or margin moved to or from an isolated position."""
        coin = self.catalog.instrument(row.instrument).settle
        balance = self.exchange.balance(row.account, self._wallet, coin)
        reason = "MARGIN_TRANSFER" if row.lots else "MARGIN_TYPE_CHANGE"
        coins = [_coin(coin, balance.total, ZERO)]
        return _account_update(reason, coins, [self._position(row)], (at, at))

    def _moved(self, balance: Balance, at: int) -> dict[str, Any]:
        change, kind = ZERO, ""
        for row in reversed(self.exchange.log(balance.account, self._wallet)):
            if row.asset == balance.asset and row.kind not in _OF_TRADES:
                change, kind = row.change, row.kind
                break
        reason = "DEPOSIT" if change >= 0 else "WITHDRAW"
        if kind in GIFTS:
            reason = "ADJUSTMENT"
        coins = [_coin(balance.asset, balance.total, change)]
        return _account_update(reason, coins, [], (at, balance.updated_at))

    def _config(self, row: Position, at: int) -> dict[str, Any]:
        return {
            "e": "ACCOUNT_CONFIG_UPDATE",
            "E": millis(at),
            "T": millis(at),
            "ac": {"s": self.catalog.symbol(row.instrument), "l": int(row.leverage)},
        }


def _account_update(
    reason: str,
    coins: list[dict[str, Any]],
    positions: list[dict[str, Any]],
    times: tuple[int, int],
) -> dict[str, Any]:
    return {
        "e": "ACCOUNT_UPDATE",
        "E": millis(times[0]),
        "T": millis(times[1]),
        "a": {"m": reason, "B": coins, "P": positions},
    }


def _coin(asset: str, total: Decimal, change: Decimal) -> dict[str, Any]:
    return {
        "a": asset,
        "wb": fixed(total),
        "cw": fixed(total),
        "bc": fixed(change) if change else "0",
    }


def _ending(order: Order) -> str:
    if order.kind is Kind.MARKET:
        return "9"
    return _ENDINGS.get(order.reason, "0")


def _price(number: Decimal) -> str:
    return plain(Decimal(fixed(number))) if number else "0.0"
