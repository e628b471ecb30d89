"""Positions, wallets and the transaction log as rows of REST answers and private streams."""

from decimal import Decimal

from oneprice.model.units import ROUNDED, ZERO, Asset, Money, Side, plain
from oneprice.twin.contract import AccountSpec, Balance, Exchange, LogRow, Position
from oneprice.twin.dialects.bybit.envelope import Row, millis, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.margin_rest import limit_value
from oneprice.twin.dialects.bybit.names import Names

DOLLARS = ("USDT", "USDC", "USD")
LOG_TYPE = {
    "trade": "TRADE",
    "funding": "SETTLEMENT",
    "deposit": "TRANSFER_IN",
    "withdrawal": "TRANSFER_OUT",
    "transfer_in": "TRANSFER_IN",
    "transfer_out": "TRANSFER_OUT",
    "liquidation": "LIQUIDATION",
    "insurance": "LIQUIDATION",  # the fund's part of one
    "adl": "ADL",
    "delivery": "DELIVERY",
    "interest": "INTEREST",
    "rebate": "FEE_REFUND",
    "bonus": "AIRDROP",
    "correction": "FEE_REFUND",  # or one taken back
}


class AccountRows:
    """Draws rows from the exchange's present state."""

    def __init__(self, exchange: Exchange, sheets: Sheets, names: Names) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._names = names

    # Positions ---------------------------------------------------------------------------

    def position(self, position: Position) -> Row:
        """A row of position/list (section 6.1); a flat one has an empty side."""
        sheet = self._sheets.by_id[position.instrument]
        flat = position.lots == 0
        side = "" if flat else "Buy" if position.lots > 0 else "Sell"
        initial = short(position.initial_margin)
        maintenance = short(position.maintenance_margin)
        return {
            "positionIdx": position.position_index,
            "riskId": position.tier,
            "riskLimitValue": limit_value(self._exchange.tiers(sheet.id), position.tier),
            "symbol": sheet.symbol,
            "side": side,
            "size": sheet.count(abs(position.lots)),
            "avgPrice": short(position.entry),
            "positionValue": short(self._entry_value(position, sheet)),
            "tradeMode": int(position.margin_mode == "isolated"),
            "positionStatus": "Normal",
            "autoAddMargin": 0,
            "adlRankIndicator": position.adl_rank,
            "leverage": plain(position.leverage),
            "breakEvenPrice": "" if flat else short(position.entry),
            "positionBalance": short(position.margin),
            "markPrice": sheet.quoted(position.mark),
            "liqPrice": "" if flat or not position.liquidation else sheet.quoted(
                position.liquidation
            ),
            "bustPrice": "" if flat or not position.margin else sheet.quoted(
                position.bankruptcy
            ),
            "positionIM": initial,
            "positionIMByMp": initial,
            "positionMM": maintenance,
            "positionMMByMp": maintenance,
            "takeProfit": "",
            "stopLoss": "",
            "trailingStop": "0",
            "unrealisedPnl": "" if flat else short(position.unrealised),
            "curRealisedPnl": short(position.realised),
            "cumRealisedPnl": short(position.realised_ever),
            "sessionAvgPrice": "",
            "tpslMode": "Full",
            "isReduceOnly": False,
            "mmrSysUpdatedTime": "",
            "leverageSysUpdatedTime": "",
            "createdTime": stamp(position.created_at),
            "updatedTime": stamp(position.updated_at),
            "openTime": 0 if flat else millis(position.created_at),
            "seq": position.sequence if position.updated_at else -1,
        }

    def position_push(self, position: Position) -> Row:
        """A row of the `position` topic: the entry price has another name there."""
        row = self.position(position)
        row["entryPrice"] = row.pop("avgPrice")
        return {"category": self._sheets.by_id[position.instrument].category} | row

    def _entry_value(self, position: Position, sheet: Sheet) -> Money:
        size = abs(sheet.instrument.size(position.lots)) * sheet.instrument.contract_value
        if not position.entry:
            return ZERO
        return ROUNDED.divide(size, position.entry) if sheet.inverse else size * position.entry

    # Wallet ------------------------------------------------------------------------------

    def wallet(self, account: AccountSpec, coins: list[Asset] | None = None) -> Row:
        """The unified account; empty coins are left out unless asked for (section 6.6)."""
        name = self._exchange.wallet_of("linear")
        pool = self._exchange.pool(account.key, name)
        held = {one.asset: one for one in self._exchange.balances(account.key, name)}
        if coins is None:
            shown = [one for one in held.values() if one.total or one.unrealised or one.locked]
        else:
            shown = [
                held.get(coin) or self._exchange.balance(account.key, name, coin)
                for coin in coins
            ]
        base = pool.equity if pool.equity > 0 else Decimal(1)
        initial_rate = short(ROUNDED.divide(pool.initial_margin, base), 4)
        maintenance_rate = short(ROUNDED.divide(pool.maintenance_margin, base), 4)
        return {
            "accountType": "UNIFIED",
            "accountIMRate": initial_rate,
            "accountMMRate": maintenance_rate,
            "accountIMRateByMp": initial_rate,
            "accountMMRateByMp": maintenance_rate,
            "accountLTV": "0",
            "totalEquity": short(pool.equity),
            "totalWalletBalance": short(pool.total),
            "totalMarginBalance": short(pool.equity),
            "totalAvailableBalance": short(pool.available),
            "totalPerpUPL": short(pool.unrealised),
            "totalInitialMargin": short(pool.initial_margin),
            "totalInitialMarginByMp": short(pool.initial_margin),
            "totalMaintenanceMargin": short(pool.maintenance_margin),
            "totalMaintenanceMarginByMp": short(pool.maintenance_margin),
            "coin": [self._coin(one) for one in shown],
        }

    def _coin(self, balance: Balance) -> Row:
        return {
            "coin": balance.asset,
            "equity": plain(balance.equity),
            "usdValue": short(balance.equity * self.dollars(balance.asset)),
            "walletBalance": plain(balance.total),
            "free": "",
            "locked": plain(balance.locked),
            "borrowAmount": "0",
            "spotBorrow": "0",
            "accruedInterest": "0",
            "totalOrderIM": short(balance.order_margin),
            "totalPositionIM": short(balance.position_margin),
            "totalPositionMM": short(balance.maintenance_margin),
            "unrealisedPnl": short(balance.unrealised),
            "cumRealisedPnl": plain(balance.realised_ever),
            "bonus": "0",
            "collateralSwitch": True,
            "marginCollateral": True,
            "colRes": "0",
            "spotHedgingQty": "0",
            "availableToBorrow": "",
            "availableToWithdraw": "",
        }

    def dollars(self, asset: Asset) -> Decimal:
        """The worth of one coin in USD by an index price; 0 where the venue has none."""
        if asset in DOLLARS:
            return Decimal(1)
        for sheet in self._sheets.all:
            if sheet.instrument.base == asset and sheet.instrument.quote in DOLLARS:
                ticker = self._exchange.ticker(sheet.id)
                return ticker.index or sheet.instrument.price(ticker.last_ticks)
        return ZERO

    # Transaction log -------------------------------------------------------------------------

    def log(self, row: LogRow, uid: int) -> Row:
        """A row of account/transaction-log: change = cashFlow + funding - fee (section 6.8)."""
        sheet = self._sheets.by_id.get(row.instrument)
        funding = row.kind == "funding"
        if sheet is None:
            category = symbol = ""
            quantity = size = price = trade = order = ""
        else:
            category, symbol = sheet.category, sheet.symbol
            quantity, size = sheet.count(row.lots), sheet.count(row.position_lots)
            price = plain(row.price)
            trade = self._names.execution(category, row.fill_id) if row.fill_id else ""
            order = self._names.order(category, row.order_id) if row.order_id else ""
        if funding:
            order = f"{millis(row.at) // 1000}-8-{uid}-{row.fill_id}"
        side = {Side.BUY: "Buy", Side.SELL: "Sell", None: "None"}[row.side]
        rate = -row.rate if funding and row.side is Side.SELL else row.rate
        return {
            "id": f"{uid}_{symbol or row.asset}_{row.id}",
            "symbol": symbol,
            "category": category,
            "side": side,
            "transactionTime": stamp(row.at),
            "type": LOG_TYPE.get(row.kind, row.kind.upper()),
            "transSubType": "",
            "qty": quantity,
            "size": size,
            "currency": row.asset,
            "tradePrice": price,
            "funding": plain(row.funding) if funding else "",
            "fee": plain(row.fee),
            "cashFlow": plain(row.cash_flow),
            "change": plain(row.change),
            "cashBalance": plain(row.balance),
            "feeRate": plain(rate) if sheet else "",
            "bonusChange": "",
            "tradeId": trade,
            "orderId": order,
            "orderLinkId": row.client_id,
            "extraFees": "",
        }
