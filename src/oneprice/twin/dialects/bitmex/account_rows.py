"""Rows of the position, margin and wallet tables, in minor units of the settlement coin."""

from collections import defaultdict
from decimal import Decimal

import msgspec

from oneprice.model.units import HOUR, ROUNDED, ZERO, Asset, Money, Side
from oneprice.twin.contract import Balance, Exchange, LogRow, Position
from oneprice.twin.dialects.bitmex.envelope import Row, iso, number
from oneprice.twin.dialects.bitmex.facts import (
    MARKET,
    WALLET,
    Sheet,
    Sheets,
    day_start,
    minor,
    minor_name,
)
from oneprice.twin.dialects.bitmex.names import TRANSFER, guid

_MOVES = {
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "transfer_in": "Transfer",
    "transfer_out": "Transfer",
    "rebate": "AffiliatePayout",
    "bonus": "Transfer",
    "correction": "Transfer",
    "interest": "Interest",  # the venue lends nothing: its own word would be another
}
_TEXTS = {"bonus": "Signup bonus", "correction": "Correction"}
_MOVED = ("deposit", "withdrawal", "transfer_in", "transfer_out")
_FINE = Decimal("0.0001")


class _Day(msgspec.Struct, kw_only=True):
    """Realised profit by instrument since a daily close, and how far the log was read."""

    begin: int
    read: int = 0
    sums: dict[str, Money] = {}


class AccountRows:
    """Prints what an account has."""

    def __init__(self, exchange: Exchange, sheets: Sheets, uids: dict[str, int]) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._uids = uids
        self._days: dict[str, _Day] = {}

    # Positions --------------------------------------------------------------------------------

    def positions(self, key: str, at: int) -> list[Row]:
        return [self.position(one, at) for one in self._exchange.positions(key, MARKET)]

    def position(self, held: Position, at: int) -> Row:
        sheet = self._sheets.by_id[held.instrument]
        extras = sheet.extras
        cross = held.margin_mode == "cross"
        return {
            "account": self._uids[held.account],
            "symbol": sheet.symbol,
            "currency": sheet.currency,
            "underlying": sheet.root,
            "quoteCurrency": sheet.instrument.quote,
            "commission": number(extras.taker_fee),
            "initMarginReq": number(ROUNDED.divide(Decimal(1), held.leverage)),
            "maintMarginReq": number(self._maintenance(held)),
            "riskLimit": self._risk_limit(held, sheet),
            "leverage": number(held.leverage),
            "crossMargin": cross,
            "deleveragePercentile": number(Decimal(held.adl_rank) / 5) if held.lots else None,
            **self._orders(held, sheet),
            **self._worth(held, sheet, at),
            **_ends(held, sheet),
            "timestamp": iso(at),
        }

    def _maintenance(self, held: Position) -> Decimal:
        tiers = self._exchange.tiers(held.instrument)
        return next((t.maintenance_rate for t in tiers if t.number == held.tier), ZERO)

    def _risk_limit(self, held: Position, sheet: Sheet) -> int:
        tiers = self._exchange.tiers(held.instrument)
        found = next((t for t in tiers if t.number == held.tier), tiers[0])
        return int(found.value_to.scaleb(sheet.scale))

    def _orders(self, held: Position, sheet: Sheet) -> Row:
        found = self._exchange.orders(held.account, instrument=held.instrument, only_open=True)
        row: Row = {}
        for side, word in ((Side.BUY, "Buy"), (Side.SELL, "Sell")):
            mine = [order for order in found if order.side is side]
            row[f"openOrder{word}Qty"] = sheet.contracts(sum(one.leaves_lots for one in mine))
            row[f"openOrder{word}Cost"] = sum(
                sheet.value(sheet.price(one.ticks), sheet.contracts(one.leaves_lots) * side)
                for one in mine
            )
        return row

    def _worth(self, held: Position, sheet: Sheet, at: int) -> Row:
        contracts = sheet.contracts(held.lots)
        settle = sheet.instrument.settle
        mark = sheet.fine(held.mark)
        unrealised = minor(settle, held.unrealised)
        cost = minor(settle, held.cost)
        if (contracts < 0) is not sheet.inverse:
            cost = -cost
        value = cost + unrealised  # the wallet will see exactly this difference
        margin = minor(settle, held.initial_margin)
        home, foreign = sheet.notionals(mark, contracts)
        sign = 1 if contracts >= 0 else -1
        # the venue starts realised profit anew at each daily close
        realised = self.realised_today(held.account, sheet, at)
        return {
            "currentTimestamp": iso(at),
            "currentQty": contracts,
            "currentCost": cost,
            "currentComm": minor(settle, held.fees),
            "realisedCost": 0,
            "unrealisedCost": cost,
            "isOpen": bool(contracts),
            "markPrice": mark if contracts else None,
            "markValue": value,
            "riskValue": abs(value),
            "homeNotional": number(home * sign),
            "foreignNotional": number(-foreign * sign),
            "posCost": cost,
            "posInit": margin,
            "posMargin": minor(settle, held.margin or held.initial_margin),
            "posMaint": minor(settle, held.maintenance_margin),
            "initMargin": 0,
            "maintMargin": margin + max(0, unrealised) if contracts else 0,
            "realisedPnl": realised,
            "rebalancedPnl": minor(settle, held.realised_ever) - realised,
            "unrealisedPnl": unrealised,
            "unrealisedPnlPcnt": _share(unrealised, abs(cost)),
            "unrealisedRoePcnt": _share(unrealised, margin),
        }

    def realised_today(self, key: str, sheet: Sheet, at: int) -> int:
        """Profit, fees and funding of an instrument since 12:00 UTC."""
        log, begin = self._exchange.log(key, WALLET), day_start(at)
        day = self._days.get(key)
        if day is None or day.begin != begin:
            day = self._days[key] = _Day(begin=begin)
        for row in log[day.read :]:
            if row.at >= begin and row.instrument:
                day.sums[row.instrument] = day.sums.get(row.instrument, ZERO) + row.change
        day.read = len(log)
        return minor(sheet.instrument.settle, day.sums.get(sheet.id, ZERO))

    # Margin and wallet --------------------------------------------------------------------------

    def margins(self, key: str, at: int) -> list[Row]:
        return [self.margin(one, at) for one in self._exchange.balances(key, WALLET)]

    def margin(self, balance: Balance, at: int) -> Row:
        asset = balance.asset
        equity = minor(asset, balance.equity)
        used = minor(asset, balance.position_margin + balance.order_margin)
        free = minor(asset, balance.available)
        realised = sum(
            self.realised_today(balance.account, sheet, at)
            for sheet in self._sheets.all
            if sheet.instrument.settle == asset
        )
        worth = self._gross(balance.account, asset)
        return {
            "account": self._uids[balance.account],
            "currency": minor_name(asset),
            "riskLimit": 1_000_000_000_000,
            "amount": minor(asset, balance.total),
            "grossMarkValue": worth,
            "riskValue": worth,
            "initMargin": minor(asset, balance.order_margin),
            "maintMargin": minor(asset, balance.position_margin),
            "targetExcessMargin": 0,
            "realisedPnl": realised,
            "unrealisedPnl": minor(asset, balance.unrealised),
            "walletBalance": minor(asset, balance.total),
            "marginBalance": equity,
            "marginLeverage": _share(worth, equity),
            "marginUsedPcnt": _share(used, equity),
            "excessMargin": free,
            "availableMargin": free,
            "withdrawableMargin": free,
            "timestamp": iso(at),
        }

    def _gross(self, key: str, asset: Asset) -> int:
        return sum(
            minor(asset, held.value)
            for held in self._exchange.positions(key, MARKET)
            if self._sheets.by_id[held.instrument].instrument.settle == asset
        )

    def wallet(self, key: str, asset: Asset, at: int) -> Row:
        log = [row for row in self._exchange.log(key, WALLET) if row.asset == asset]
        total = log[-1].balance if log else ZERO
        came = sum((row.change for row in log if row.change > 0 and row.kind in _MOVED), ZERO)
        went = sum((-row.change for row in log if row.change < 0 and row.kind in _MOVED), ZERO)
        return {
            "account": self._uids[key],
            "currency": minor_name(asset),
            "deposited": minor(asset, came),
            "withdrawn": minor(asset, went),
            "transferIn": 0,
            "transferOut": 0,
            "amount": minor(asset, total),
            "pendingCredit": 0,
            "pendingDebit": 0,
            "confirmedDebit": 0,
            "timestamp": iso(at),
        }

    def wallet_history(self, key: str, asset: Asset, at: int) -> list[Row]:
        """Newest first: every transfer, and realised profit by day and instrument.

        The venue books the profit of a day at 12:00 UTC; that of the running day is pending.
        """
        log = [row for row in self._exchange.log(key, WALLET) if row.asset == asset]
        days: dict[tuple[int, str], list[LogRow]] = defaultdict(list)
        rows: list[tuple[int, Row]] = []
        for one in log:
            if one.kind in _MOVES:
                rows.append((one.at, self._move(key, one)))
            else:
                days[day_start(one.at), one.instrument].append(one)
        for (begin, instrument), parts in days.items():
            closed = begin + 24 * HOUR
            status = "Completed" if closed <= at else "Pending"
            amount = sum((part.change for part in parts), ZERO)
            row = self._move(key, parts[-1]) | {
                "transactID": guid(TRANSFER, parts[0].id),
                "transactType": "RealisedPNL",
                "amount": minor(asset, amount),
                "transactStatus": status,
                "address": self._sheets.by_id[instrument].symbol,
                "text": "",
                "transactTime": iso(min(closed, at)),
                "timestamp": iso(min(closed, at)),
            }
            rows.append((min(closed, at), row))
        rows.sort(key=lambda pair: pair[0], reverse=True)
        return [row for _, row in rows]

    def _move(self, key: str, one: LogRow) -> Row:
        return {
            "transactID": guid(TRANSFER, one.id),
            "account": self._uids[key],
            "currency": minor_name(one.asset),
            "transactType": _MOVES.get(one.kind, "RealisedPNL"),
            "amount": minor(one.asset, one.change),
            "fee": 0,
            "transactStatus": "Completed",
            "address": "",
            "tx": "",
            "text": _TEXTS.get(one.kind, ""),
            "transactTime": iso(one.at),
            "walletBalance": minor(one.asset, one.balance),
            "marginBalance": None,
            "timestamp": iso(one.at),
        }


def _ends(held: Position, sheet: Sheet) -> Row:
    """Average entry, break-even, liquidation and bankruptcy price."""
    if not held.lots:
        names = ("avgCostPrice", "avgEntryPrice", "breakEvenPrice", "marginCallPrice",
                 "liquidationPrice", "bankruptPrice")  # fmt: skip
        return dict.fromkeys(names)
    entry = sheet.fine(held.entry)
    liquidation = number(held.liquidation)
    return {
        "avgCostPrice": entry,
        "avgEntryPrice": entry,
        "breakEvenPrice": _break_even(held, sheet),
        "marginCallPrice": liquidation,
        "liquidationPrice": liquidation,
        "bankruptPrice": sheet.fine(held.bankruptcy) if held.bankruptcy else None,
    }


def _break_even(held: Position, sheet: Sheet) -> Decimal:
    """The price at which leaving would earn back what was paid for fees and funding so far."""
    paid: Money = held.fees - held.funding
    size = sheet.instrument.size(held.lots) * sheet.instrument.contract_value
    if sheet.inverse:
        rest = ROUNDED.divide(size, held.entry) - paid
        return sheet.fine(ROUNDED.divide(size, rest)) if rest else ZERO
    return sheet.fine(held.entry + ROUNDED.divide(paid, size))


def _share(part: int, whole: int) -> Decimal:
    if not whole:
        return ZERO
    return number(ROUNDED.divide(Decimal(part), Decimal(whole)).quantize(_FINE))
