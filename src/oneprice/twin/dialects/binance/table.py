"""Which call costs what, needs which right and is answered by whom."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from oneprice.twin.dialects.binance.accounts import FuturesAccount, SpotAccount
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.facts import FactsDesk
from oneprice.twin.dialects.binance.futures_trade import FuturesTrade
from oneprice.twin.dialects.binance.income import IncomeDesk
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.settings import FuturesSettings
from oneprice.twin.dialects.binance.spot_trade import SpotTrade


class Right(StrEnum):
    """NONE: anyone. KEY: the key header. READ: signed. TRADE: signed, and the key may trade."""

    NONE = "none"
    KEY = "key"
    READ = "read"
    TRADE = "trade"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`free`: costs no weight when it succeeds. `orders`: its answer carries order counts.

    `funding`: counted among the questions about funding.
    """

    right: Right
    weight: int | Callable[[Call], int]
    answer: Callable[[Call], Any]
    free: bool = False
    orders: bool = False
    funding: bool = False

    def cost(self, call: Call) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(call)


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Everyone who answers."""

    market: MarketDesk
    facts: FactsDesk
    spot: SpotTrade
    spot_account: SpotAccount
    futures: FuturesTrade
    futures_account: FuturesAccount
    settings: FuturesSettings
    income: IncomeDesk


def _number(call: Call, name: str, default: int) -> int:
    text = call.text(name)
    return int(text) if text.isascii() and text.isdigit() else default


def _stepped(steps: tuple[tuple[int, int], ...], most: int) -> Callable[[Call], int]:
    def cost(call: Call) -> int:
        limit = _number(call, "limit", 100 if call.product == "spot" else 500)
        return next((weight for upto, weight in steps if limit <= upto), most)

    return cost


def _one_or(one: int, many: int) -> Callable[[Call], int]:
    return lambda call: one if call.text("symbol") else many


SPOT_DEPTH = _stepped(((100, 5), (500, 25), (1_000, 50)), 250)
FUTURES_DEPTH = _stepped(((50, 2), (100, 5), (500, 10)), 20)
FUTURES_KLINES = _stepped(((99, 1), (499, 2), (1_000, 5)), 10)


def _public(weight: int | Callable[[Call], int], answer: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(right=Right.NONE, weight=weight, answer=answer)


def _funding(answer: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(right=Right.NONE, weight=0, answer=answer, funding=True)


def _read(weight: int | Callable[[Call], int], answer: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(right=Right.READ, weight=weight, answer=answer)


def _trade(
    weight: int, answer: Callable[[Call], Any], *, free: bool = False, orders: bool = False
) -> Endpoint:
    return Endpoint(right=Right.TRADE, weight=weight, answer=answer, free=free, orders=orders)


def spot_table(counters: Counters) -> dict[str, Endpoint]:
    """Spot REST by `METHOD /path` (weights: spot REST API, state November 2026)."""
    market, facts, trade = counters.market, counters.facts, counters.spot
    v3 = "/api/v3"
    gone = _public(1, facts.gone)
    return {
        f"GET {v3}/ping": _public(1, facts.ping),
        f"GET {v3}/time": _public(1, facts.time),
        f"GET {v3}/exchangeInfo": _public(20, facts.spot_info),
        f"GET {v3}/depth": _public(SPOT_DEPTH, market.depth),
        f"GET {v3}/trades": _public(25, market.trades),
        f"GET {v3}/historicalTrades": _public(25, market.trades),
        f"GET {v3}/aggTrades": _public(4, market.agg_trades),
        f"GET {v3}/klines": _public(2, market.klines),
        f"GET {v3}/uiKlines": _public(2, market.klines),
        f"GET {v3}/avgPrice": _public(2, market.average_price),
        f"GET {v3}/ticker/24hr": _public(_one_or(2, 80), market.day),
        f"GET {v3}/ticker/price": _public(_one_or(2, 4), market.price),
        f"GET {v3}/ticker/bookTicker": _public(_one_or(2, 4), market.book_ticker),
        f"POST {v3}/order": _trade(1, trade.place, free=True, orders=True),
        f"POST {v3}/order/test": _trade(1, trade.test),
        f"DELETE {v3}/order": _trade(1, trade.cancel, free=True),
        f"DELETE {v3}/openOrders": _trade(1, trade.cancel_all, free=True),
        f"POST {v3}/order/cancelReplace": _trade(1, trade.cancel_replace, free=True, orders=True),
        f"PUT {v3}/order/amend/keepPriority": _trade(4, trade.amend_keep_priority),
        f"GET {v3}/order": _read(4, trade.query),
        f"GET {v3}/openOrders": _read(_one_or(6, 80), trade.open_orders),
        f"GET {v3}/allOrders": _read(20, trade.all_orders),
        f"GET {v3}/myTrades": _read(
            lambda call: 5 if call.text("orderId") else 20, trade.my_trades
        ),
        f"GET {v3}/account": _read(20, counters.spot_account.account),
        f"GET {v3}/account/commission": _read(20, counters.spot_account.commission),
        f"GET {v3}/rateLimit/order": _read(40, trade.order_limits),
        f"POST {v3}/userDataStream": gone,
        f"PUT {v3}/userDataStream": gone,
        f"DELETE {v3}/userDataStream": gone,
        "GET /sapi/v1/margin/allPairs": _public(1, facts.nothing),
        "GET /sapi/v1/margin/isolated/allPairs": _public(10, facts.nothing),
        "GET /sapi/v1/account/apiRestrictions": _read(1, counters.spot_account.restrictions),
        "GET /sapi/v1/asset/tradeFee": _read(1, counters.spot_account.trade_fees),
        "GET /sapi/v1/capital/config/getall": _read(10, facts.nothing),
    }


def futures_market_table(counters: Counters, root: str) -> dict[str, Endpoint]:
    """Public REST of USD-M (`/fapi/v1`) or COIN-M (`/dapi/v1`)."""
    market, facts = counters.market, counters.facts
    info = facts.usdm_info if root == "/fapi/v1" else facts.coinm_info
    return {
        f"GET {root}/ping": _public(1, facts.ping),
        f"GET {root}/time": _public(1, facts.time),
        f"GET {root}/exchangeInfo": _public(1, info),
        f"GET {root}/depth": _public(FUTURES_DEPTH, market.depth),
        f"GET {root}/trades": _public(5, market.trades),
        f"GET {root}/historicalTrades": _public(20, market.trades),
        f"GET {root}/aggTrades": _public(20, market.agg_trades),
        f"GET {root}/klines": _public(FUTURES_KLINES, market.klines),
        f"GET {root}/markPriceKlines": _public(
            FUTURES_KLINES, lambda call: market.klines(call, "mark")
        ),
        f"GET {root}/indexPriceKlines": _public(
            FUTURES_KLINES, lambda call: market.klines(call, "index")
        ),
        f"GET {root}/premiumIndexKlines": _public(
            FUTURES_KLINES, lambda call: market.klines(call, "premium")
        ),
        f"GET {root}/premiumIndex": _public(_one_or(1, 10), facts.premium_index),
        f"GET {root}/fundingRate": _public(1, facts.funding_rate),
        f"GET {root}/fundingInfo": _public(0, facts.funding_info),
        f"GET {root}/openInterest": _public(1, facts.open_interest),
        f"GET {root}/constituents": _public(2, facts.constituents),
        f"GET {root}/ticker/24hr": _public(_one_or(1, 40), market.day),
        f"GET {root}/ticker/price": _public(_one_or(1, 2), market.price),
        f"GET {root}/ticker/bookTicker": _public(_one_or(2, 5), market.book_ticker),
    }


def futures_private_table(counters: Counters, root: str) -> dict[str, Endpoint]:
    """Trading and settings, which USD-M (`/fapi/v1`) and COIN-M (`/dapi/v1`) share."""
    trade, account, settings = counters.futures, counters.futures_account, counters.settings
    return {
        f"POST {root}/order": _trade(0, trade.place, orders=True),
        f"PUT {root}/order": _trade(0, trade.modify, orders=True),
        f"DELETE {root}/order": _trade(1, trade.cancel),
        f"POST {root}/batchOrders": _trade(5, trade.batch, orders=True),
        f"PUT {root}/batchOrders": _trade(5, trade.batch_modify, orders=True),
        f"DELETE {root}/batchOrders": _trade(1, trade.batch_cancel),
        f"DELETE {root}/allOpenOrders": _trade(1, trade.cancel_all),
        f"POST {root}/countdownCancelAll": _trade(10, trade.countdown),
        f"GET {root}/orderAmendment": _read(1, trade.amendments),
        f"GET {root}/order": _read(1, trade.query),
        f"GET {root}/openOrder": _read(1, trade.open_order),
        f"GET {root}/openOrders": _read(_one_or(1, 40), trade.open_orders),
        f"GET {root}/allOrders": _read(5, trade.all_orders),
        f"GET {root}/userTrades": _read(5, trade.user_trades),
        f"GET {root}/forceOrders": _read(_one_or(20, 50), counters.income.forced),
        f"GET {root}/commissionRate": _read(20, account.commission),
        f"GET {root}/leverageBracket": _read(1, settings.brackets),
        f"POST {root}/leverage": _trade(1, settings.set_leverage),
        f"POST {root}/marginType": _trade(1, settings.set_margin_type),
        f"POST {root}/positionMargin": _trade(1, settings.move_margin),
        f"GET {root}/positionSide/dual": _read(30, settings.hedge_mode),
        f"POST {root}/positionSide/dual": _trade(1, settings.set_hedge_mode),
        f"GET {root}/adlQuantile": _read(5, account.adl_quantile),
        f"GET {root}/income": _read(30, counters.income.income),
    }


def futures_table(counters: Counters) -> dict[str, Endpoint]:
    """USD-M REST by `METHOD /path`, trading and account included."""
    trade, account, settings = counters.futures, counters.futures_account, counters.settings
    v1 = "/fapi/v1"
    shared = futures_market_table(counters, v1) | futures_private_table(counters, v1)
    return shared | {
        # Weightless, with an allowance of their own.
        f"GET {v1}/fundingRate": _funding(counters.facts.funding_rate),
        f"GET {v1}/fundingInfo": _funding(counters.facts.funding_info),
        "GET /fapi/v2/ticker/price": _public(_one_or(1, 2), counters.market.price),
        f"POST {v1}/order/test": _trade(0, trade.test),
        f"GET {v1}/openAlgoOrders": _read(1, counters.facts.nothing),
        f"GET {v1}/rateLimit/order": _read(1, trade.order_limits),
        "GET /fapi/v2/balance": _read(5, account.balance),
        "GET /fapi/v3/balance": _read(5, account.balance),
        "GET /fapi/v2/account": _read(5, account.account_v2),
        "GET /fapi/v3/account": _read(5, account.account_v3),
        "GET /fapi/v2/positionRisk": _read(5, account.positions_v2),
        "GET /fapi/v3/positionRisk": _read(5, account.positions_v3),
        f"GET {v1}/symbolConfig": _read(5, settings.symbol_config),
        f"GET {v1}/accountConfig": _read(5, settings.account_config),
        f"GET {v1}/multiAssetsMargin": _read(30, settings.multi_assets),
        f"POST {v1}/multiAssetsMargin": _trade(1, settings.set_multi_assets),
        f"GET {v1}/feeBurn": _read(30, settings.fee_burn),
    }


def coinm_table(counters: Counters) -> dict[str, Endpoint]:
    """COIN-M REST by `METHOD /path`."""
    account, v1 = counters.futures_account, "/dapi/v1"
    shared = futures_market_table(counters, v1) | futures_private_table(counters, v1)
    return shared | {
        "GET /dapi/v2/leverageBracket": _read(1, counters.settings.brackets),
        # Weights of COIN-M's own pages, which the account's history keeps.
        f"GET {v1}/userTrades": _read(
            lambda call: 20 if call.text("symbol") else 40, counters.futures.user_trades
        ),
        f"GET {v1}/income": _read(20, counters.income.income),
        f"GET {v1}/balance": _read(1, account.balance),
        f"GET {v1}/account": _read(5, account.account_coinm),
        f"GET {v1}/positionRisk": _read(1, account.positions_coinm),
    }


# WebSocket API method -> the REST call with the same parameters.
SPOT_METHODS = {
    "ping": "GET /api/v3/ping",
    "time": "GET /api/v3/time",
    "exchangeInfo": "GET /api/v3/exchangeInfo",
    "depth": "GET /api/v3/depth",
    "trades.recent": "GET /api/v3/trades",
    "trades.aggregate": "GET /api/v3/aggTrades",
    "klines": "GET /api/v3/klines",
    "avgPrice": "GET /api/v3/avgPrice",
    "ticker.24hr": "GET /api/v3/ticker/24hr",
    "ticker.price": "GET /api/v3/ticker/price",
    "ticker.book": "GET /api/v3/ticker/bookTicker",
    "order.place": "POST /api/v3/order",
    "order.test": "POST /api/v3/order/test",
    "order.cancel": "DELETE /api/v3/order",
    "order.cancelReplace": "POST /api/v3/order/cancelReplace",
    "order.amend.keepPriority": "PUT /api/v3/order/amend/keepPriority",
    "openOrders.cancelAll": "DELETE /api/v3/openOrders",
    "order.status": "GET /api/v3/order",
    "openOrders.status": "GET /api/v3/openOrders",
    "allOrders": "GET /api/v3/allOrders",
    "myTrades": "GET /api/v3/myTrades",
    "account.status": "GET /api/v3/account",
    "account.commission": "GET /api/v3/account/commission",
    "account.rateLimits.orders": "GET /api/v3/rateLimit/order",
}

FUTURES_METHODS = {
    "depth": "GET /fapi/v1/depth",
    "ticker.price": "GET /fapi/v1/ticker/price",
    "ticker.book": "GET /fapi/v1/ticker/bookTicker",
    "order.place": "POST /fapi/v1/order",
    "order.modify": "PUT /fapi/v1/order",
    "order.cancel": "DELETE /fapi/v1/order",
    "order.status": "GET /fapi/v1/order",
    "account.balance": "GET /fapi/v2/balance",
    "v2/account.balance": "GET /fapi/v3/balance",
    "account.status": "GET /fapi/v2/account",
    "v2/account.status": "GET /fapi/v3/account",
    "account.position": "GET /fapi/v2/positionRisk",
    "v2/account.position": "GET /fapi/v3/positionRisk",
}
