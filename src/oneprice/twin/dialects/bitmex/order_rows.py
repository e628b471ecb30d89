"""Rows of the order and execution tables."""

from decimal import Decimal

from oneprice.model.units import ZERO
from oneprice.twin.contract import Fill, FundingSettled, Kind, LogRow, Order, State
from oneprice.twin.dialects.bitmex.envelope import Row, iso, number
from oneprice.twin.dialects.bitmex.facts import Sheet, Sheets, minor
from oneprice.twin.dialects.bitmex.names import EXECUTION, ORDER, TRADE, UNBORN, guid
from oneprice.twin.dialects.bitmex.trade_rows import side_word

NOBODY = "00000000-0000-0000-0000-000000000000"
SUBMITTED = "Submitted via API."
_STATUS = {
    State.NEW: "New",
    State.PARTIAL: "PartiallyFilled",
    State.FILLED: "Filled",
    State.CANCELLED: "Canceled",
    State.EXPIRED: "Canceled",  # the venue has no word of its own for the rest of an IOC order
    State.REJECTED: "Rejected",
}
_CAUSES = {
    "user": "Canceled via API.",
    "ioc": "Order had timeInForce of ImmediateOrCancel",
    "fok": "Order had timeInForce of FillOrKill",
    "post_only": "Order had execInst of ParticipateDoNotInitiate",
    "reduce_only": "Order had execInst of Close or ReduceOnly but current position is 0",
    "no_liquidity": "Order had ordType of Market",
    "self_trade": "Order would have met an order of the same account",
    "delisted": "Instrument expired",
    "liquidated": "Position in liquidation",
}
_OWN = {"liquidation": "Liquidation", "adl": "Liquidation", "delivery": "Settlement"}
_EXECUTION_OF = {"": "Trade", **_OWN}


class OrderRows:
    """Prints orders; keeps what the exchange does not know: new names and special causes."""

    def __init__(self, sheets: Sheets, uids: dict[str, int]) -> None:
        self._sheets = sheets
        self._uids = uids  # key -> account number
        self.renamed: dict[int, str] = {}  # order id -> clOrdID given by an amendment
        self.causes: dict[int, str] = {}  # order id -> why it was cancelled
        self.unborn: dict[str, list[Order]] = {}  # key -> orders that never lived

    def order_id(self, order: Order) -> str:
        kind = UNBORN if order.id < 0 else ORDER
        return guid(kind, abs(order.id))

    def client_id(self, order: Order) -> str:
        return self.renamed.get(order.id, order.client_id)

    def status(self, order: Order) -> str:
        return _STATUS[order.state]

    def text(self, order: Order) -> str:
        if order.reason in _OWN:
            return _OWN[order.reason]
        text = order.echo.get("text", SUBMITTED)
        if order.state is State.REJECTED:
            return f"Rejected: {order.reason}\n{text}"
        if order.state in (State.CANCELLED, State.EXPIRED):
            why = self.causes.get(order.id) or _CAUSES.get(order.reason, order.reason)
            return f"Canceled: {why}\n{text}"
        return f"Amended via API.\n{text}" if order.amended else text

    def row(self, order: Order) -> Row:
        sheet = self._sheets.by_id[order.instrument]
        market = order.kind is Kind.MARKET
        price: Decimal | None = sheet.price(order.ticks)
        if market:
            price = self._average(sheet, order) or None
        return {
            "orderID": self.order_id(order),
            "clOrdID": self.client_id(order),
            "clOrdLinkID": "",
            "account": self._uids[order.account],
            "symbol": sheet.symbol,
            "side": side_word(order.side),
            "orderQty": sheet.contracts(order.lots),
            "price": price,
            "displayQty": None,
            "stopPx": None,
            "pegOffsetValue": None,
            "pegPriceType": "",
            "currency": sheet.instrument.quote,
            "settlCurrency": sheet.currency,
            "ordType": "Market" if market else "Limit",
            "timeInForce": self._lifetime(order),
            "execInst": order.echo.get("execInst", ""),
            "contingencyType": "",
            "ordStatus": self.status(order),
            "triggered": "",
            "workingIndicator": order.open,
            "ordRejReason": order.reason if order.state is State.REJECTED else "",
            "leavesQty": sheet.contracts(order.leaves_lots),
            "cumQty": sheet.contracts(order.filled_lots),
            "avgPx": self._average(sheet, order) or None,
            "text": self.text(order),
            "transactTime": iso(order.updated_at),
            "timestamp": iso(order.updated_at),
        }

    def trade(self, fill: Fill, order: Order) -> Row:
        """An execution that moved something: a trade, a liquidation, a settlement."""
        sheet = self._sheets.by_id[fill.instrument]
        price = number(fill.price) if fill.price else sheet.price(fill.ticks)
        contracts = sheet.contracts(fill.lots)
        signed = contracts * fill.side
        home, foreign = sheet.notionals(price, contracts)
        return self.row(order) | {
            "execID": guid(EXECUTION, fill.id),
            "lastQty": contracts,
            "lastPx": price,
            "lastLiquidityInd": "AddedLiquidity" if fill.maker else "RemovedLiquidity",
            "execType": _EXECUTION_OF.get(fill.reason, "Trade"),
            "commission": number(fill.fee_rate),
            "trdMatchID": guid(TRADE, sheet.place << 64 | fill.trade_id),
            "execCost": sheet.value(price, signed),
            "execComm": minor(fill.fee_asset, fill.fee),
            "homeNotional": number(home * fill.side),
            "foreignNotional": number(-foreign * fill.side),
            "realisedPnl": minor(sheet.instrument.settle, fill.realised),
            "transactTime": iso(fill.at),
            "timestamp": iso(fill.at),
        }

    def event(self, order: Order, kind: str, count: int) -> Row:
        """An execution that only tells of an order: New, Canceled, Replaced, Rejected."""
        return self.row(order) | {
            "execID": guid(EXECUTION + 1, count),
            "lastQty": None,
            "lastPx": None,
            "lastLiquidityInd": "",
            "execType": kind,
            "commission": None,
            "trdMatchID": NOBODY,
            "execCost": None,
            "execComm": None,
            "homeNotional": None,
            "foreignNotional": None,
        }

    def funding(self, settled: FundingSettled) -> Row:
        """`execComm` above zero was paid (section 8)."""
        sheet = self._sheets.by_id[settled.instrument]
        contracts = sheet.contracts(settled.lots)
        price = sheet.fine(settled.mark)
        home, foreign = sheet.notionals(settled.mark, contracts)
        sign = 1 if contracts > 0 else -1
        return {
            "execID": guid(EXECUTION, settled.id),
            "orderID": NOBODY,
            "clOrdID": "",
            "clOrdLinkID": "",
            "account": self._uids[settled.account],
            "symbol": sheet.symbol,
            "side": "",
            "lastQty": abs(contracts),
            "lastPx": price,
            "lastLiquidityInd": "",
            "orderQty": abs(contracts),
            "price": price,
            "currency": sheet.instrument.quote,
            "settlCurrency": sheet.currency,
            "execType": "Funding",
            "ordType": "Limit",
            "timeInForce": "AtTheClose",
            "execInst": "",
            "ordStatus": "Filled",
            "workingIndicator": False,
            "ordRejReason": "",
            "leavesQty": 0,
            "cumQty": abs(contracts),
            "avgPx": price,
            "commission": number(settled.rate * sign),
            "text": "Funding",
            "trdMatchID": guid(TRADE, settled.id),
            "execCost": sheet.value(settled.mark, contracts),
            "execComm": -minor(settled.asset, settled.amount),
            "homeNotional": number(home * sign),
            "foreignNotional": number(-foreign * sign),
            "transactTime": iso(settled.at),
            "timestamp": iso(settled.at),
        }

    def insured(self, log: LogRow) -> Row:
        """What the insurance fund gave (commission below zero) or took at a forced closing."""
        sheet = self._sheets.by_id[log.instrument]
        return {
            "execID": guid(EXECUTION + 2, log.id),
            "orderID": guid(ORDER, log.order_id),
            "clOrdID": "",
            "clOrdLinkID": "",
            "account": self._uids[log.account],
            "symbol": sheet.symbol,
            "side": "",
            "lastQty": 0,
            "lastPx": None,
            "lastLiquidityInd": "",
            "orderQty": None,
            "price": None,
            "currency": sheet.instrument.quote,
            "settlCurrency": sheet.currency,
            "execType": "Bankruptcy",
            "ordType": "Limit",
            "timeInForce": "GoodTillCancel",
            "execInst": "",
            "ordStatus": "Filled",
            "workingIndicator": False,
            "ordRejReason": "",
            "leavesQty": 0,
            "cumQty": 0,
            "avgPx": None,
            "commission": None,
            "text": "Liquidation",
            "trdMatchID": NOBODY,
            "execCost": 0,
            "execComm": -minor(log.asset, log.change),
            "homeNotional": None,
            "foreignNotional": None,
            "realisedPnl": 0,
            "transactTime": iso(log.at),
            "timestamp": iso(log.at),
        }

    def _average(self, sheet: Sheet, order: Order) -> Decimal:
        return sheet.fine(order.average) if order.average else ZERO

    def _lifetime(self, order: Order) -> str:
        usual = "ImmediateOrCancel" if order.kind is Kind.MARKET else "GoodTillCancel"
        return order.echo.get("timeInForce") or usual


class Executions:
    """Every execution row of every account, oldest first."""

    MOVING = ("Trade", "Funding", "Settlement", "Liquidation", "Bankruptcy")

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._count = 0

    def next_count(self) -> int:
        self._count += 1
        return self._count

    def add(self, key: str, row: Row) -> None:
        self._rows.setdefault(key, []).append(row)

    def all(self, key: str) -> list[Row]:
        return list(self._rows.get(key, ()))

    def history(self, key: str) -> list[Row]:
        """Fills, funding, settlement: what the venue calls tradeHistory."""
        return [row for row in self.all(key) if row["execType"] in self.MOVING]
