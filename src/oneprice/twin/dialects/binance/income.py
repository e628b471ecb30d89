"""Income of futures accounts: every movement of money, and the forced orders behind some."""

from decimal import Decimal
from typing import Any

from oneprice.twin.contract import Exchange, LogRow
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.futures_trade import FuturesTrade
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import fixed, millis
from oneprice.twin.dialects.binance.spans import KEPT_MS, WEEK_MS

_FORCED = {"LIQUIDATION": ("liquidation",), "ADL": ("adl",), "": ("liquidation", "adl")}


class IncomeDesk:
    """Reads the log and the forced orders of one customer."""

    def __init__(self, exchange: Exchange, desk: MarketDesk, trade: FuturesTrade) -> None:
        self.exchange = exchange
        self.desk = desk
        self.trade = trade

    def forced(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/forceOrders: own liquidations and deleveragings, newest first."""
        wanted = _FORCED.get(call.text("autoCloseType"), ())
        instrument = self.desk.find(call).id if call.text("symbol") else ""
        orders = self.exchange.orders(call.key, market=call.product, instrument=instrument)
        rows = [
            self.trade.row(order, self.desk.catalog.instrument(order.instrument))
            for order in reversed(orders)
            if order.reason in wanted
        ]
        return rows[: call.window(50, 100)]

    def income(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/income: negative was paid; `tranId` is unique within its type."""
        wallet = self.exchange.wallet_of(call.product)
        trade_ids = {
            fill.id: fill.trade_id for fill in self.exchange.fills(call.key, market=call.product)
        }
        rows = []
        for row in self.exchange.log(call.key, wallet):
            if row.instrument and self.desk.catalog.market(row.instrument) != call.product:
                continue
            for kind, amount in _income_parts(row):
                shape = self._income_row(row, kind, amount, trade_ids.get(row.fill_id))
                if call.product == "coinm":  # text there (docs of `/dapi/v1/income`)
                    shape["tranId"] = str(row.id)
                rows.append((row.id, row.at, shape))
        wanted, symbol = call.text("incomeType"), call.text("symbol")
        rows = [
            row
            for row in rows
            if wanted in ("", row[2]["incomeType"]) and symbol in ("", row[2]["symbol"])
        ]
        limit = call.window(100, 1_000)
        start, end = call.integer("startTime", -1), call.integer("endTime", -1)
        if start >= 0 and 0 <= end < start:
            raise Denied(-1128, "Combination of optional parameters invalid.")
        now = millis(call.at)
        first = now - WEEK_MS if start < 0 and end < 0 else max(start, now - KEPT_MS)
        shown = [
            shape
            for _, when, shape in rows
            if millis(when) >= first and (end < 0 or millis(when) <= end)
        ]
        return shown[:limit] if start >= 0 else shown[-limit:]

    def _income_row(
        self, row: LogRow, kind: str, amount: Decimal, trade: int | None
    ) -> dict[str, Any]:
        return {
            "symbol": self.desk.catalog.symbol(row.instrument) if row.instrument else "",
            "incomeType": kind,
            "income": fixed(amount),
            "asset": row.asset,
            "info": str(trade) if trade is not None else kind,
            "time": millis(row.at),
            "tranId": row.id,
            "tradeId": str(trade) if trade is not None else "",
        }


def _income_parts(row: LogRow) -> list[tuple[str, Decimal]]:
    match row.kind:
        case "trade" | "liquidation" | "adl":
            parts = [("REALIZED_PNL", row.cash_flow), ("COMMISSION", -row.fee)]
            return [(kind, amount) for kind, amount in parts if amount]
        case "delivery":  # spelt so by the venue
            parts = [("DELIVERED_SETTELMENT", row.cash_flow), ("COMMISSION", -row.fee)]
            return [(kind, amount) for kind, amount in parts if amount]
        case "insurance":
            return [("INSURANCE_CLEAR", row.change)]
        case "funding":
            return [("FUNDING_FEE", row.funding)]
        case "interest":
            return [("BFUSD_REWARD", row.change)]
        case "rebate":
            return [("COMMISSION_REBATE", row.change)]
        case "bonus":
            return [("WELCOME_BONUS", row.change)]
        case "correction":
            return [("FEE_RETURN", row.change)]
    return [("TRANSFER", row.change)]
