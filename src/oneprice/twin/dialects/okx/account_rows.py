"""Balances, positions and bills as rows of REST answers and of the private channels."""

from decimal import Decimal

from oneprice.model.units import ROUNDED, ZERO, Asset, Money, Side, plain
from oneprice.twin.contract import AccountSpec, Balance, Exchange, LogRow, Position
from oneprice.twin.dialects.okx.envelope import Row, short, stamp
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.names import bill_name, order_name, position_name
from oneprice.twin.dialects.okx.order_rows import POSITION_SIDES, sub_type

# type of a bill by the exchange's kind of log row (section 13)
BILL_TYPES = {
    "deposit": "1",
    "withdrawal": "1",
    "transfer_in": "1",
    "transfer_out": "1",
    "trade": "2",
    "delivery": "3",
    "liquidation": "5",
    "funding": "8",
    "adl": "9",
    "insurance": "5",
    "interest": "7",
    # The documents name no type for gifts and corrections: the system moves money in or out.
    "rebate": "1",
    "bonus": "1",
    "correction": "1",
}
ARRIVING, LEAVING = ("deposit", "transfer_in"), ("withdrawal", "transfer_out")
BY_SYSTEM = ("rebate", "bonus", "correction")
TRANSFERRED_IN, TRANSFERRED_OUT = "11", "12"
SYSTEM_IN, SYSTEM_OUT = "200", "202"
FUNDING_PAID, FUNDING_RECEIVED = "173", "174"
INSURANCE, INTEREST = "110", "9"

# What a balance row has for products that this twin does not offer.
UNUSED = {
    **dict.fromkeys(
        ("accAvgPx", "openAvgPx", "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio"), ""
    ),
    **dict.fromkeys(("clSpotInUseAmt", "maxSpotInUse"), ""),
    **dict.fromkeys(
        ("rewardBal", "spotBal", "spotCopyTradingEq", "spotIsoBal", "autoLendMtAmt", "frpType"),
        "0",
    ),
    "autoLendStatus": "unsupported",
    "collateralEnabled": False,
    "collateralRestrict": False,
    "colRes": "0",
}


class AccountRows:
    """Draws rows from the exchange's present state."""

    def __init__(self, exchange: Exchange, sheets: Sheets) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self.wallet = exchange.setup.wallets[0].name
        self.pooled = exchange.setup.wallets[0].pooled

    # Balances --------------------------------------------------------------------------------

    def balance(self, account: AccountSpec, coins: list[Asset] | None = None) -> Row:
        """`data[0]` of account/balance; empty coins are left out unless asked for."""
        pool = self._exchange.pool(account.key, self.wallet)
        held = self._exchange.balances(account.key, self.wallet)
        shown = [
            one
            for one in held
            if (one.asset in coins if coins else one.total or one.unrealised or one.locked)
        ]
        value = sum(
            (
                one.value * self._sheets.dollar_rate(self._settle(one))
                for one in self.positions(account.key)
            ),
            ZERO,
        )
        whole = {
            "adjEq": short(pool.equity),
            "availEq": short(pool.available),
            "imr": short(pool.initial_margin),
            "mmr": short(pool.maintenance_margin),
            "mgnRatio": _ratio(pool.equity, pool.maintenance_margin),
            "ordFroz": short(self._frozen(held)),
            "notionalUsd": short(value),
            "upl": short(pool.unrealised),
        }
        if not self.pooled:
            whole = dict.fromkeys(whole, "")
        return {
            "totalEq": short(pool.equity),
            **whole,
            "borrowFroz": "0",
            "isoEq": short(self._isolated(account.key)),
            "notionalUsdForBorrow": "0",
            "notionalUsdForFutures": "0",
            "notionalUsdForOption": "0",
            "notionalUsdForSwap": short(value),
            "uTime": stamp(max((one.updated_at for one in held), default=0)),
            "details": [self._coin(one) for one in shown],
        }

    def cash(self, balance: Balance) -> Row:
        """A row of `balData`."""
        return {
            "ccy": balance.asset,
            "cashBal": plain(balance.total),
            "uTime": stamp(balance.updated_at),
        }

    def _coin(self, balance: Balance) -> Row:
        rate = self._sheets.dollar_rate(balance.asset)
        equity = balance.equity
        own = not self.pooled
        available = short(balance.available)
        return {
            "ccy": balance.asset,
            "eq": short(equity),
            "cashBal": plain(balance.total),
            "availBal": available,
            "availEq": available,
            "frozenBal": short(max(ZERO, equity - balance.available)),
            "ordFrozen": short(balance.locked + balance.order_margin),
            "upl": short(balance.unrealised),
            "uplLiab": "0",
            "liab": "0",
            "crossLiab": "0",
            "isoLiab": "0",
            "isoEq": "0",
            "isoUpl": "0",
            "smtSyncEq": "0",
            "disEq": short(equity * rate),
            "eqUsd": short(equity * rate),
            "coinUsdPrice": plain(rate),
            "imr": short(balance.position_margin + balance.order_margin) if own else "",
            "mmr": short(balance.maintenance_margin) if own else "",
            "mgnRatio": _ratio(equity, balance.maintenance_margin) if own else "",
            "interest": "0",
            "maxLoan": "0",
            "notionalLever": "",
            "borrowFroz": "0",
            "fixedBal": "0",
            "stgyEq": "0",
            "spotInUseAmt": "",
            "twap": "0",
            **UNUSED,
            "uTime": stamp(balance.updated_at),
        }

    def _frozen(self, held: list[Balance]) -> Money:
        return sum((one.locked * self._sheets.dollar_rate(one.asset) for one in held), ZERO)

    def _isolated(self, key: str) -> Money:
        return sum(
            (
                (one.margin + one.unrealised) * self._sheets.dollar_rate(self._settle(one))
                for one in self.positions(key)
                if one.margin_mode == "isolated"
            ),
            ZERO,
        )

    def _settle(self, position: Position) -> Asset:
        return self._sheets.by_id[position.instrument].instrument.settle

    # Positions -------------------------------------------------------------------------------

    def positions(self, key: str) -> list[Position]:
        """Open ones of every market."""
        markets = dict.fromkeys(one.market for one in self._sheets.all if not one.spot)
        return [
            position
            for market in markets
            for position in self._exchange.positions(key, market)
            if position.lots
        ]

    def position(self, position: Position, trade: str, at: int) -> Row:
        """A row of account/positions; `trade` is the id of the latest trade."""
        sheet = self._sheets.by_id[position.instrument]
        ticker = self._exchange.ticker(sheet.id)
        isolated = position.margin_mode == "isolated"
        rate = self._sheets.dollar_rate(sheet.instrument.settle)
        equity = position.margin + position.unrealised
        if not isolated:
            equity = self._exchange.pool(position.account, self.wallet).equity
        maintenance = position.maintenance_margin * (1 if isolated else rate)
        last = sheet.instrument.price(ticker.last_ticks)
        shown = self._signed(position)
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "mgnMode": position.margin_mode,
            "posId": position_name(position.account, position.instrument, position.position_index),
            "posSide": POSITION_SIDES[position.position_index],
            "pos": sheet.size(shown),
            "posCcy": "",
            "availPos": sheet.size(abs(shown)) if position.position_index else "",
            "avgPx": short(position.entry) if shown else "",
            "markPx": sheet.quoted(position.mark),
            "idxPx": sheet.quoted(ticker.index),
            "last": sheet.price(ticker.last_ticks),
            "upl": short(position.unrealised),
            "uplRatio": _share(position.unrealised, position.initial_margin),
            "uplLastPx": short(self._upl(position, sheet, last)),
            "uplRatioLastPx": _share(self._upl(position, sheet, last), position.initial_margin),
            "lever": plain(position.leverage),
            "liqPx": sheet.quoted(position.liquidation) if shown else "",
            "imr": "" if isolated else short(position.initial_margin),
            "mmr": short(position.maintenance_margin),
            "margin": short(position.margin) if isolated else "",
            "mgnRatio": _ratio(equity, maintenance),
            "notionalUsd": short(position.value * rate),
            "adl": str(position.adl_rank),
            "ccy": sheet.instrument.settle,
            "pnl": short(position.realised + position.fees - position.funding),
            "fee": short(-position.fees),
            "fundingFee": short(position.funding),
            "liqPenalty": "0",
            "settledPnl": "",
            "realizedPnl": short(position.realised),
            "tradeId": trade,
            "liab": "",
            "liabCcy": "",
            "interest": "",
            "optVal": "",
            "bePx": "",
            "bizRefId": "",
            "bizRefType": "",
            "closeOrderAlgo": [],
            "cTime": stamp(position.created_at),
            "uTime": stamp(position.updated_at),
            "pTime": stamp(at),
        }

    def brief_position(self, position: Position, trade: str) -> Row:
        """A row of `posData` of balance_and_position."""
        row = self.position(position, trade, 0)
        names = ("posId", "tradeId", "instId", "instType", "mgnMode", "posSide", "pos", "ccy",
                 "posCcy", "avgPx", "uTime", "settledPnl")
        return {name: row[name] for name in names}

    def _signed(self, position: Position) -> int:
        """Net mode keeps the sign, the two sides of hedge mode do not show it."""
        return position.lots if position.position_index == 0 else abs(position.lots)

    def _upl(self, position: Position, sheet: Sheet, price: Decimal) -> Money:
        if not position.lots or not price:
            return ZERO
        return sheet.instrument.profit(position.entry, price, position.lots)

    # Bills -----------------------------------------------------------------------------------

    def bill(self, row: LogRow, trade: str) -> Row:
        """A row of account/bills: balChg is what the balance changed by; `trade` its trade id."""
        sheet = self._sheets.by_id.get(row.instrument)
        spot = sheet is None or sheet.spot
        route = ("6", "18") if row.kind in ARRIVING else ("", "")
        if row.kind in LEAVING:
            route = ("18", "6")
        return {
            "billId": bill_name(row.id),
            "ts": stamp(row.at),
            "type": BILL_TYPES.get(row.kind, "2"),
            "subType": bill_sub_type(row),
            "ccy": row.asset,
            "balChg": plain(row.change),
            "bal": plain(row.balance),
            "sz": plain(row.cash_flow) if sheet is None or spot else sheet.size(row.lots),
            "px": short(row.price) if row.price else "",
            "pnl": short(ZERO if spot else row.cash_flow + row.funding),
            "fee": plain(-row.fee),
            "instType": sheet.inst_type if sheet else "",
            "instId": sheet.inst_id if sheet else "",
            "mgnMode": "" if spot else self._exchange.margin_mode(row.account, row.instrument),
            "ordId": order_name(row.order_id) if row.order_id else "",
            "clOrdId": row.client_id,
            "tradeId": trade,
            "execType": "",
            "fillTime": stamp(row.at) if row.kind == "trade" else "",
            "posBal": sheet.size(row.position_lots) if sheet and not spot else "",
            "posBalChg": "",
            "interest": plain(row.change) if row.kind == "interest" else "",
            "from": route[0],
            "to": route[1],
            "notes": "",
            "tag": "",
        }


def bill_sub_type(row: LogRow) -> str:
    """What a bill is more closely (`subType`)."""
    if row.kind == "funding":
        return FUNDING_RECEIVED if row.funding > 0 else FUNDING_PAID
    if row.kind in BY_SYSTEM:
        return SYSTEM_IN if row.change > 0 else SYSTEM_OUT
    if row.kind in ARRIVING:
        return TRANSFERRED_IN
    if row.kind in LEAVING:
        return TRANSFERRED_OUT
    if row.kind in ("insurance", "interest"):
        return INSURANCE if row.kind == "insurance" else INTEREST
    return sub_type(row.side or Side.BUY, 0, "" if row.kind == "trade" else row.kind)


def _ratio(equity: Money, maintenance: Money) -> str:
    return short(ROUNDED.divide(equity, maintenance)) if maintenance else ""


def _share(part: Money, whole: Money) -> str:
    return short(ROUNDED.divide(part, whole)) if whole else "0"
