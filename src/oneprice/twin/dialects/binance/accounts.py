"""Balances, positions and fees of spot, USD-M and COIN-M accounts, API key permissions."""

from decimal import Decimal
from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import ZERO, plain
from oneprice.twin.contract import Balance, Exchange, Position
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.settings import FuturesSettings
from oneprice.twin.dialects.binance.shapes import POSITION_SIDES, fixed, millis


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
            "canWithdraw": spec.can_withdraw,
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

    def restrictions(self, call: Call) -> dict[str, Any]:
        """GET /sapi/v1/account/apiRestrictions: what the key may do."""
        spec = self.exchange.account(call.key)
        trades = not spec.read_only
        return {
            "ipRestrict": bool(spec.addresses),
            "createTime": 1_790_000_000_000,
            "enableReading": True,
            "enableWithdrawals": spec.can_withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": trades,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": trades,
            "enablePortfolioMarginTrading": False,
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
    """Of USD-M and COIN-M; margin and position modes as the account is set."""

    def __init__(self, exchange: Exchange, desk: MarketDesk, settings: FuturesSettings) -> None:
        self.exchange = exchange
        self.desk = desk
        self.settings = settings

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
                "crossWalletBalance": fixed(row.total - self._apart(call, row.asset)[0]),
                "crossUnPnl": fixed(row.unrealised - self._apart(call, row.asset)[1]),
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
        return self._totals(call, rows) | {
            "assets": [self._asset_row(call, row) for row in rows],
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
            "multiAssetsMargin": self.settings.joint(call.key),
            "tradeGroupId": -1,
        }
        positions = []
        for instrument in self._instruments(call):
            for row in self._parts(call, instrument):
                positions.append(
                    self._account_position(call, row)
                    | {
                        "maxNotional": self.settings.most(call, instrument),
                        "leverage": plain(self.exchange.leverage(call.key, instrument.id)),
                        "isolated": row.margin_mode == "isolated",
                        "entryPrice": plain(row.entry),
                        "breakEvenPrice": plain(self._break_even(call, row)),
                        "bidNotional": "0",
                        "askNotional": "0",
                    }
                )
        assets = [self._asset_row(call, row) | {"marginAvailable": True} for row in rows]
        return head | self._totals(call, rows) | {"assets": assets, "positions": positions}

    def _totals(self, call: Call, rows: list[Balance]) -> dict[str, Any]:
        """Single-asset mode: the totals cover USDT only."""
        usdt = [row for row in rows if row.asset == "USDT"]
        total = sum((row.total for row in usdt), ZERO)
        unrealised = sum((row.unrealised for row in usdt), ZERO)
        positions = sum((row.position_margin for row in usdt), ZERO)
        orders = sum((row.order_margin for row in usdt), ZERO)
        maintenance = sum((row.maintenance_margin for row in usdt), ZERO)
        available = sum((row.available for row in usdt), ZERO)
        margin, profit = self._apart(call, "USDT")
        return {
            "totalInitialMargin": fixed(positions + orders),
            "totalMaintMargin": fixed(maintenance),
            "totalWalletBalance": fixed(total),
            "totalUnrealizedProfit": fixed(unrealised),
            "totalMarginBalance": fixed(total + unrealised),
            "totalPositionInitialMargin": fixed(positions),
            "totalOpenOrderInitialMargin": fixed(orders),
            "totalCrossWalletBalance": fixed(total - margin),
            "totalCrossUnPnl": fixed(unrealised - profit),
            "availableBalance": fixed(available),
            "maxWithdrawAmount": fixed(max(ZERO, min(available, total))),
        }

    def _asset_row(self, call: Call, row: Balance) -> dict[str, Any]:
        margin, profit = self._apart(call, row.asset)
        return {
            "asset": row.asset,
            "walletBalance": fixed(row.total),
            "unrealizedProfit": fixed(row.unrealised),
            "marginBalance": fixed(row.total + row.unrealised),
            "maintMargin": fixed(row.maintenance_margin),
            "initialMargin": fixed(row.position_margin + row.order_margin),
            "positionInitialMargin": fixed(row.position_margin),
            "openOrderInitialMargin": fixed(row.order_margin),
            "crossWalletBalance": fixed(row.total - margin),
            "crossUnPnl": fixed(row.unrealised - profit),
            "availableBalance": fixed(row.available),
            "maxWithdrawAmount": fixed(max(ZERO, min(row.available, row.total))),
            "updateTime": millis(row.updated_at),
        }

    def _apart(self, call: Call, asset: str) -> tuple[Decimal, Decimal]:
        """Margin and profit of isolated positions, which stand beside the cross wallet."""
        found = [
            row
            for row in self.exchange.positions(call.key, call.product)
            if row.margin_mode == "isolated"
            and self.desk.catalog.instrument(row.instrument).settle == asset
        ]
        margin = sum((row.margin for row in found), ZERO)
        return margin, sum((row.unrealised for row in found), ZERO)

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
            "isolatedMargin": isolated_margin(row),
            "notional": fixed(_signed_value(row)),
            "isolatedWallet": isolated_wallet(row),
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
            "isolatedMargin": isolated_margin(row),
            "notional": fixed(_signed_value(row)),
            "marginAsset": instrument.settle,
            "isolatedWallet": isolated_wallet(row),
            "initialMargin": fixed(row.initial_margin),
            "maintMargin": fixed(row.maintenance_margin),
            "positionInitialMargin": fixed(row.initial_margin),
            "openOrderInitialMargin": "0",
            "adl": max(0, row.adl_rank - 1),
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
                        "maxNotionalValue": self.settings.most(call, instrument),
                        "marginType": row.margin_mode,
                        "isAutoAddMargin": "false",
                    }
                )
        return rows

    def positions_coinm(self, call: Call) -> list[dict[str, Any]]:
        """GET /dapi/v1/positionRisk: like v2, its size in coins beside the contracts."""
        return [
            row | {"maxQty": row.pop("maxNotionalValue"), "notionalValue": row.pop("notional")}
            for row in self.positions_v2(call)
        ]

    def adl_quantile(self, call: Call) -> Any:
        """GET /fapi/v1/adlQuantile: 0 is the last, 4 the first to be deleveraged."""
        rows = []
        for instrument in self._instruments(call):
            parts = self._parts(call, instrument)
            if any(row.lots for row in parts):
                ranks = {
                    POSITION_SIDES[row.position_index]: max(0, row.adl_rank - 1) for row in parts
                }
                rows.append({"symbol": instrument.symbol, "adlQuantile": ranks})
        return rows

    def account_coinm(self, call: Call) -> dict[str, Any]:
        """GET /dapi/v1/account: per coin only, nothing can be added up."""
        whole = self.account_v2(call)
        names = ("canTrade", "canDeposit", "canWithdraw", "feeTier", "updateTime")
        return {name: whole[name] for name in (*names, "assets", "positions")}

    def commission(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        maker, taker = self.exchange.fees(call.key, instrument.id)
        return {
            "symbol": instrument.symbol,
            "makerCommissionRate": fixed(maker, 6),
            "takerCommissionRate": fixed(taker, 6),
            "rpiCommissionRate": "0.000050",
        }

    def _break_even(self, call: Call, row: Position) -> Decimal:
        """The entry moved by one taker fee, the venue's own formula being unpublished."""
        if not row.lots:
            return ZERO
        _, taker = self.exchange.fees(call.key, row.instrument)
        return row.entry * (1 + taker) if row.lots > 0 else row.entry * (1 - taker)


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


def isolated_wallet(row: Position) -> str:
    """The money set aside for a position, 0 for a cross one."""
    return fixed(row.margin) if row.margin else "0"


def isolated_margin(row: Position) -> str:
    """The same with its unrealised profit."""
    return fixed(row.margin + row.unrealised) if row.margin else "0"


def _signed_value(row: Position) -> Decimal:
    return row.value if row.lots >= 0 else -row.value


def _price(number: Decimal) -> str:
    """Prices that are averages: as many places as they need, at most eight."""
    return plain(Decimal(fixed(number))) if number else "0.0"
