"""User data of spot: executionReport, outboundAccountPosition, balanceUpdate."""

from collections.abc import Sequence
from typing import Any

from oneprice.model.units import ZERO
from oneprice.twin.contract import (
    Balance,
    BalanceChanged,
    Exchange,
    Fill,
    Filled,
    Order,
    OrderChanged,
    Output,
)
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.shapes import (
    STP_TO_WIRE,
    Catalog,
    fixed,
    limit_ticks,
    millis,
    side_word,
    spot_tif,
    spot_type,
    status,
)
from oneprice.twin.dialects.binance.spot_trade import expiry_reason

# Why a balance moves without a trade, in the exchange's words.
GIFTS = ("interest", "rebate", "bonus", "correction")
FROM_OUTSIDE = ("deposit", "transfer", *GIFTS)

Mail = list[tuple[str, dict[str, Any]]]  # (account key, event), in order


class SpotEvents:
    """Turns outputs of the exchange into a customer's events, one batch at a time."""

    def __init__(
        self, exchange: Exchange, catalog: Catalog, limits: Limits, cancel_ids: dict[int, str]
    ) -> None:
        self.exchange = exchange
        self.catalog = catalog
        self.limits = limits
        self.cancel_ids = cancel_ids
        self._wallet = exchange.wallet_of("spot")
        self._executions = 0

    def mail(self, outputs: Sequence[Output], at: int) -> Mail:
        """Events of one batch; balances follow the reports that changed them."""
        mail: Mail = []
        touched: dict[str, dict[str, Balance]] = {}
        for output in outputs:
            match output:
                case OrderChanged(order=order) if self._mine(order):
                    mail.append((order.account, self._changed(output, at)))
                case Filled(order=order, fill=fill) if self._mine(order):
                    mail.append((order.account, self._filled(fill, order, at)))
                case BalanceChanged(balance=balance) if balance.wallet == self._wallet:
                    if output.cause in FROM_OUTSIDE:
                        mail += self._moved(balance, at)
                    touched.setdefault(balance.account, {})[balance.asset] = balance
        for account, coins in touched.items():
            mail.append((account, _position(list(coins.values()), at)))
        return mail

    def _mine(self, order: Order) -> bool:
        return self.catalog.market(order.instrument) == "spot"

    def _changed(self, output: OrderChanged, at: int) -> dict[str, Any]:
        order = output.order
        match output.cause:
            case "new":
                return self._report(order, "NEW", at, output.at)
            case "amended":
                return self._report(order, "REPLACED", at, output.at)
            case "rejected":
                return self._report(order, "REJECTED", at, output.at)
            case "cancelled" if status(order) == "CANCELED":
                return self._cancelled(order, at, output.at)
            case _:
                prevented = status(order) == "EXPIRED_IN_MATCH"
                kind = "TRADE_PREVENTION" if prevented else "EXPIRED"
                report = self._report(order, kind, at, output.at)
                reason = expiry_reason(order)
                return report | ({"eR": reason} if reason else {})

    def _cancelled(self, order: Order, at: int, when: int) -> dict[str, Any]:
        """`c` is the id of the cancel, the order's own id stands in `C`."""
        cancel_id = self.cancel_ids.pop(order.id, "") or f"web_{order.id}"
        return self._report(order, "CANCELED", at, when) | {
            "c": cancel_id,
            "C": order.client_id,
        }

    def _filled(self, fill: Fill, order: Order, at: int) -> dict[str, Any]:
        if fill.maker and order.filled_lots == fill.lots:
            self.limits.free_orders(order.account, at)
        grid = self.catalog.grid(order.instrument)
        return self._report(order, "TRADE", at, fill.at) | {
            "l": grid.size(fill.lots),
            "L": grid.price(fill.ticks),
            "n": fixed(fill.fee),
            "N": fill.fee_asset,
            "t": fill.trade_id,
            "m": fill.maker,
            "Y": fixed(fill.value),
        }

    def _report(self, order: Order, kind: str, at: int, when: int) -> dict[str, Any]:
        self._executions += 1
        grid = self.catalog.grid(order.instrument)
        return {
            "e": "executionReport",
            "E": millis(at),
            "s": self.catalog.symbol(order.instrument),
            "c": order.client_id,
            "S": side_word(order.side),
            "o": spot_type(order),
            "f": spot_tif(order),
            "q": grid.size(order.lots),
            "p": grid.price(limit_ticks(order)),
            "P": "0.00000000",
            "F": "0.00000000",
            "g": -1,
            "C": "",
            "x": kind,
            "X": status(order),
            "r": "NONE",
            "i": order.id,
            "l": grid.size(0),
            "z": grid.size(order.filled_lots),
            "L": grid.price(0),
            "n": "0",
            "N": None,
            "T": millis(when),
            "t": -1,
            "I": self._executions,
            "w": order.open,
            "m": False,
            "M": kind == "TRADE",
            "O": millis(order.created_at),
            "Z": fixed(order.filled_value),
            "Y": fixed(ZERO),
            "Q": fixed(order.quote_amount or ZERO),
            "W": millis(order.created_at),
            "V": STP_TO_WIRE[order.self_trade],
        }

    def _moved(self, balance: Balance, at: int) -> Mail:
        """A deposit or transfer tells its delta in an event of its own."""
        for row in reversed(self.exchange.log(balance.account, self._wallet)):
            if row.asset == balance.asset and row.kind not in ("trade", "funding"):
                event = {
                    "e": "balanceUpdate",
                    "E": millis(at),
                    "a": row.asset,
                    "d": fixed(row.change),
                    "T": millis(row.at),
                }
                return [(balance.account, event)]
        return []


def _position(rows: list[Balance], at: int) -> dict[str, Any]:
    return {
        "e": "outboundAccountPosition",
        "E": millis(at),
        "u": millis(max((row.updated_at for row in rows), default=at)),
        "B": [{"a": row.asset, "f": fixed(row.free), "l": fixed(row.locked)} for row in rows],
    }
