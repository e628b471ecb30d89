"""Balances, positions, fees, settings and income of spot and USD-M accounts."""

from decimal import Decimal
from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import ZERO, plain
from oneprice.twin.contract import Balance, Exchange, LogRow, Position, Refusal
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import POSITION_SIDES, fixed, millis
from oneprice.twin.dialects.binance.spot_trade import paged

_NOTIONAL_CAP = "1000000000"


def alias_of(key: str) -> str:
    """The account alias is a short word the venue makes up."""
    return "".join(c for c in key if c.isalnum())[:4].ljust(4, "x")


class SpotAccount:
    """GET /api/v3/account and its relatives."""

    def __init__(self, exchange: Exchange, desk: MarketDesk) -> None:
        self.exchange = exchange
        self.desk = desk

    def account(self, call: Call) -> dict[str, Any]:
        rows = self.exchange.balances(call.key, self.exchange.wallet_of("spot"))
        if call.flag("omitZeroBalances"):
            rows = [row for row in rows if row.total]
        first = self.exchange.listings("spot")[0].instrument
        maker, taker = self.exchange.fees(call.key, first.id)
        spec = self.exchange.account(call.key)
        return {
            "makerCommission": int(maker * 10_000),
            "takerCommission": int(taker * 10_000),
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": _rates(maker, taker),
            "canTrade": not spec.read_only,
            "canWithdraw": False,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": max((millis(row.updated_at) for row in rows), default=0),
            "accountType": "SPOT",
            "balances": [
                {"asset": row.asset, "free": fixed(row.free), "locked": fixed(row.locked)}
                for row in rows
            ],
            "permissions": ["SPOT"],
            "uid": spec.uid,
        }

    def trade_fees(self, call: Call) -> list[dict[str, str]]:
        """GET /sapi/v1/asset/tradeFee."""
        chosen, _ = self.desk.chosen(call)
        rows = []
        for instrument in chosen:
            maker, taker = self.exchange.fees(call.key, instrument.id)
            rows.append(
                {
                    "symbol": instrument.symbol,
                    "makerCommission": plain(maker),
                    "takerCommission": plain(taker),
                }
            )
        return rows

    def commission(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        maker, taker = self.exchange.fees(call.key, instrument.id)
        return {
            "symbol": instrument.symbol,
            "standardCommission": _rates(maker, taker),
            "specialCommission": _rates(ZERO, ZERO),
            "taxCommission": _rates(ZERO, ZERO),
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": True,
                "discountAsset": "BNB",
                "discount": "0.25000000",
            },
        }


def _rates(maker: Decimal, taker: Decimal) -> dict[str, str]:
    return {
        "maker": fixed(maker),
        "taker": fixed(taker),
        "buyer": fixed(ZERO),
        "seller": fixed(ZERO),
    }


class FuturesAccount:
    """Single-asset mode, cross margin; one-way or hedge as the account is set."""

    def __init__(self, exchange: Exchange, desk: MarketDesk) -> None:
        self.exchange = exchange
        self.desk = desk

    def _wallet(self, call: Call) -> list[Balance]:
        return self.exchange.balances(call.key, self.exchange.wallet_of(call.product))

    # Money -------------------------------------------------------------------------------

    def balance(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v2|v3/balance."""
        return [
            {
                "accountAlias": alias_of(call.key),
                "asset": row.asset,
                "balance": fixed(row.total),
                "crossWalletBalance": fixed(row.total),
                "crossUnPnl": fixed(row.unrealised),
                "availableBalance": fixed(row.available),
                "maxWithdrawAmount": fixed(max(ZERO, min(row.available, row.total))),
                "marginAvailable": True,
                "updateTime": millis(row.updated_at),
            }
            for row in self._wallet(call)
        ]

    def account_v3(self, call: Call) -> dict[str, Any]:
        """GET /fapi/v3/account: only symbols with a position or an order."""
        rows = self._wallet(call)
        positions = [self._account_position(call, row) for row in self._live_positions(call)]
        return self._totals(rows) | {
            "assets": [_asset_row(row) for row in rows],
            "positions": positions,
        }

    def account_v2(self, call: Call) -> dict[str, Any]:
        """GET /fapi/v2/account: every symbol, with leverage and entry price."""
        rows = self._wallet(call)
        spec = self.exchange.account(call.key)
        head = {
            "feeTier": 0,
            "feeBurn": True,
            "canTrade": not spec.read_only,
            "canDeposit": True,
            "canWithdraw": True,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }
        positions = []
        for instrument in self._instruments(call):
            for row in self._parts(call, instrument):
                positions.append(
                    self._account_position(call, row)
                    | {
                        "maxNotional": _NOTIONAL_CAP,
                        "leverage": plain(self.exchange.leverage(call.key, instrument.id)),
                        "isolated": False,
                        "entryPrice": plain(row.entry),
                        "breakEvenPrice": plain(self._break_even(call, row)),
                        "bidNotional": "0",
                        "askNotional": "0",
                    }
                )
        assets = [_asset_row(row) | {"marginAvailable": True} for row in rows]
        return head | self._totals(rows) | {"assets": assets, "positions": positions}

    def _totals(self, rows: list[Balance]) -> dict[str, Any]:
        """Single-asset mode: the totals cover USDT only."""
        usdt = [row for row in rows if row.asset == "USDT"]
        total = sum((row.total for row in usdt), ZERO)
        unrealised = sum((row.unrealised for row in usdt), ZERO)
        positions = sum((row.position_margin for row in usdt), ZERO)
        orders = sum((row.order_margin for row in usdt), ZERO)
        maintenance = sum((row.maintenance_margin for row in usdt), ZERO)
        available = sum((row.available for row in usdt), ZERO)
        return {
            "totalInitialMargin": fixed(positions + orders),
            "totalMaintMargin": fixed(maintenance),
            "totalWalletBalance": fixed(total),
            "totalUnrealizedProfit": fixed(unrealised),
            "totalMarginBalance": fixed(total + unrealised),
            "totalPositionInitialMargin": fixed(positions),
            "totalOpenOrderInitialMargin": fixed(orders),
            "totalCrossWalletBalance": fixed(total),
            "totalCrossUnPnl": fixed(unrealised),
            "availableBalance": fixed(available),
            "maxWithdrawAmount": fixed(max(ZERO, min(available, total))),
        }

    # Positions ---------------------------------------------------------------------------

    def _instruments(self, call: Call) -> list[Instrument]:
        chosen, _ = self.desk.chosen(call)
        return chosen

    def _parts(self, call: Call, instrument: Instrument) -> list[Position]:
        indexes = (1, 2) if self.exchange.hedge_mode(call.key, call.product) else (0,)
        return [self.exchange.position(call.key, instrument.id, index) for index in indexes]

    def _live_positions(self, call: Call) -> list[Position]:
        with_orders = {
            order.instrument
            for order in self.exchange.orders(call.key, market=call.product, only_open=True)
        }
        return [
            row
            for instrument in self._instruments(call)
            for row in self._parts(call, instrument)
            if row.lots or instrument.id in with_orders
        ]

    def _account_position(self, call: Call, row: Position) -> dict[str, Any]:
        instrument = self.desk.catalog.instrument(row.instrument)
        grid = self.desk.catalog.grid(row.instrument)
        return {
            "symbol": instrument.symbol,
            "positionSide": POSITION_SIDES[row.position_index],
            "positionAmt": grid.size(row.lots),
            "unrealizedProfit": fixed(row.unrealised),
            "isolatedMargin": "0",
            "notional": fixed(_signed_value(row)),
            "isolatedWallet": "0",
            "initialMargin": fixed(row.initial_margin),
            "positionInitialMargin": fixed(row.initial_margin),
            "openOrderInitialMargin": "0",
            "maintMargin": fixed(row.maintenance_margin),
            "updateTime": millis(row.updated_at),
        }

    def positions_v3(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v3/positionRisk: no leverage and no margin type in here."""
        return [self._risk(call, row) for row in self._live_positions(call)]

    def _risk(self, call: Call, row: Position) -> dict[str, Any]:
        instrument = self.desk.catalog.instrument(row.instrument)
        grid = self.desk.catalog.grid(row.instrument)
        return {
            "symbol": instrument.symbol,
            "positionSide": POSITION_SIDES[row.position_index],
            "positionAmt": grid.size(row.lots),
            "entryPrice": _price(row.entry),
            "breakEvenPrice": _price(self._break_even(call, row)),
            "markPrice": fixed(row.mark),
            "unRealizedProfit": fixed(row.unrealised),
            "liquidationPrice": _price(max(ZERO, row.liquidation)),
            "isolatedMargin": "0",
            "notional": fixed(_signed_value(row)),
            "marginAsset": instrument.settle,
            "isolatedWallet": "0",
            "initialMargin": fixed(row.initial_margin),
            "maintMargin": fixed(row.maintenance_margin),
            "positionInitialMargin": fixed(row.initial_margin),
            "openOrderInitialMargin": "0",
            "adl": 2 if row.lots else 0,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": millis(row.updated_at),
        }

    def positions_v2(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v2/positionRisk: every symbol, with leverage and margin type."""
        rows = []
        for instrument in self._instruments(call):
            for row in self._parts(call, instrument):
                risk = self._risk(call, row)
                rows.append(
                    {name: risk[name] for name in _V2_NAMES}
                    | {
                        "leverage": plain(self.exchange.leverage(call.key, instrument.id)),
                        "maxNotionalValue": _NOTIONAL_CAP,
                        "marginType": "cross",
                        "isAutoAddMargin": "false",
                    }
                )
        return rows

    def _break_even(self, call: Call, row: Position) -> Decimal:
        """The entry moved by one taker fee, the venue's own formula being unpublished."""
        if not row.lots:
            return ZERO
        _, taker = self.exchange.fees(call.key, row.instrument)
        return row.entry * (1 + taker) if row.lots > 0 else row.entry * (1 - taker)

    # Settings ----------------------------------------------------------------------------

    def symbol_config(self, call: Call) -> list[dict[str, Any]]:
        return [
            {
                "symbol": instrument.symbol,
                "marginType": "CROSSED",
                "isAutoAddMargin": False,
                "leverage": int(self.exchange.leverage(call.key, instrument.id)),
                "maxNotionalValue": _NOTIONAL_CAP,
            }
            for instrument in self._instruments(call)
        ]

    def account_config(self, call: Call) -> dict[str, Any]:
        return {
            "feeTier": 0,
            "canTrade": not self.exchange.account(call.key).read_only,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self.exchange.hedge_mode(call.key, call.product),
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def commission(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        maker, taker = self.exchange.fees(call.key, instrument.id)
        return {
            "symbol": instrument.symbol,
            "makerCommissionRate": fixed(maker, 6),
            "takerCommissionRate": fixed(taker, 6),
            "rpiCommissionRate": "0.000050",
        }

    def brackets(self, call: Call) -> Any:
        """GET /fapi/v1/leverageBracket: one bracket; an object when a symbol is given."""
        chosen, one = self.desk.chosen(call)
        rows = []
        for instrument in chosen:
            extras = self.exchange.listing(call.product, instrument.symbol).extras
            rows.append(
                {
                    "symbol": instrument.symbol,
                    "brackets": [
                        {
                            "bracket": 1,
                            "initialLeverage": int(extras.leverage_max),
                            "notionalCap": int(_NOTIONAL_CAP),
                            "notionalFloor": 0,
                            "maintMarginRatio": float(extras.maintenance_rate),
                            "cum": 0,
                        }
                    ],
                }
            )
        return rows[0] if one else rows

    def set_leverage(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        call.need("leverage")
        leverage = call.integer("leverage", 0)
        try:
            self.exchange.set_leverage(call.key, instrument.id, Decimal(leverage), call.at)
        except Refusal as refusal:
            if refusal.word == "leverage":
                raise Denied(-4028, f"Leverage {leverage} is not valid") from None
            raise denials.translated("usdm", refusal.word) from None
        return {
            "symbol": instrument.symbol,
            "leverage": leverage,
            "maxNotionalValue": _NOTIONAL_CAP,
        }

    def set_margin_type(self, call: Call) -> dict[str, Any]:
        """Positions are cross margined here; isolated margin is refused."""
        self.desk.find(call)
        match call.need("marginType"):
            case "CROSSED":
                raise Denied(-4046, "No need to change margin type.")
            case "ISOLATED":
                raise Denied(
                    -4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode."
                )
        raise denials.bad_value("marginType")

    def hedge_mode(self, call: Call) -> dict[str, Any]:
        return {"dualSidePosition": self.exchange.hedge_mode(call.key, call.product)}

    def set_hedge_mode(self, call: Call) -> dict[str, Any]:
        call.need("dualSidePosition")
        wanted = bool(call.flag("dualSidePosition"))
        try:
            self.exchange.set_hedge_mode(call.key, call.product, wanted, call.at)
        except Refusal as refusal:
            if refusal.word == "mode_blocked" and self.exchange.orders(
                call.key, market=call.product, only_open=True
            ):
                raise Denied(
                    -4067, "Position side cannot be changed if there exists open orders."
                ) from None
            raise denials.translated("usdm", refusal.word) from None
        return {"code": 200, "msg": "success"}

    def multi_assets(self, call: Call) -> dict[str, Any]:
        return {"multiAssetsMargin": False}

    def set_multi_assets(self, call: Call) -> dict[str, Any]:
        call.need("multiAssetsMargin")
        if call.flag("multiAssetsMargin"):
            raise denials.bad_value("multiAssetsMargin")
        raise Denied(-4171, "Multi-Assets mode: no need to change.")

    def fee_burn(self, call: Call) -> dict[str, Any]:
        return {"feeBurn": False}

    # Income ------------------------------------------------------------------------------

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
                rows.append((row.id, row.at, shape))
        wanted, symbol = call.text("incomeType"), call.text("symbol")
        rows = [
            row
            for row in rows
            if wanted in ("", row[2]["incomeType"]) and symbol in ("", row[2]["symbol"])
        ]
        limit = min(call.integer("limit", 100), 1_000)
        return (
            paged(call, rows, "")[-limit:]
            if not call.text("startTime")
            else (paged(call, rows, "")[:limit])
        )

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


_V2_NAMES = (
    "symbol",
    "positionSide",
    "positionAmt",
    "entryPrice",
    "breakEvenPrice",
    "markPrice",
    "unRealizedProfit",
    "liquidationPrice",
    "isolatedMargin",
    "notional",
    "isolatedWallet",
    "updateTime",
)


def _income_parts(row: LogRow) -> list[tuple[str, Decimal]]:
    match row.kind:
        case "trade":
            parts = [("REALIZED_PNL", row.cash_flow), ("COMMISSION", -row.fee)]
            return [(kind, amount) for kind, amount in parts if amount]
        case "funding":
            return [("FUNDING_FEE", row.funding)]
    return [("TRANSFER", row.change)]


def _asset_row(row: Balance) -> dict[str, Any]:
    return {
        "asset": row.asset,
        "walletBalance": fixed(row.total),
        "unrealizedProfit": fixed(row.unrealised),
        "marginBalance": fixed(row.total + row.unrealised),
        "maintMargin": fixed(row.maintenance_margin),
        "initialMargin": fixed(row.position_margin + row.order_margin),
        "positionInitialMargin": fixed(row.position_margin),
        "openOrderInitialMargin": fixed(row.order_margin),
        "crossWalletBalance": fixed(row.total),
        "crossUnPnl": fixed(row.unrealised),
        "availableBalance": fixed(row.available),
        "maxWithdrawAmount": fixed(max(ZERO, min(row.available, row.total))),
        "updateTime": millis(row.updated_at),
    }


def _signed_value(row: Position) -> Decimal:
    return row.value if row.lots >= 0 else -row.value


def _price(number: Decimal) -> str:
    """Prices that are averages: as many places as they need, at most eight."""
    return plain(Decimal(fixed(number))) if number else "0.0"
