"""Spot orders and fills as REST shows them."""

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ZERO
from oneprice.twin.contract import Fill, Order
from oneprice.twin.dialects.kucoin import names
from oneprice.twin.dialects.kucoin.envelope import Row, amount, millis
from oneprice.twin.dialects.kucoin.facts import Facts, client_of, kind_of, word_of

TIFS = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
WORDS = {word: text for text, word in TIFS.items()} | {TimeInForce.POST_ONLY: "GTC"}


class SpotRows:
    """Everything is text except times and trade ids."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def order(self, order: Order) -> Row:
        sheet = self._facts.by_id[order.instrument]
        grid = sheet.instrument
        left = order.lots - order.filled_lots
        gone = ZERO if order.open else grid.size(left)
        wanted = order.quote_amount
        funds = grid.size(order.lots) * grid.price(order.ticks) if wanted is None else wanted
        market = kind_of(order) == "market"
        rest = max(ZERO, funds - order.filled_value)
        return {
            "id": names.spot_order(order.id),
            "clientOid": client_of(order),
            "symbol": sheet.symbol,
            "opType": "DEAL",
            "type": kind_of(order),
            "side": word_of(order.side),
            "price": "0" if market else sheet.price(order.ticks),
            "size": "0" if wanted is not None else sheet.size(order.lots),
            "funds": "0" if market and wanted is None else amount(funds),
            "dealSize": sheet.size(order.filled_lots),
            "dealFunds": amount(order.filled_value),
            "remainSize": sheet.size(left) if order.open else "0",
            "remainFunds": amount(rest) if order.open or not left else "0",
            "cancelledSize": amount(gone),
            "cancelledFunds": amount(rest) if left and not order.open else "0",
            "fee": amount(order.fees, 14),
            "feeCurrency": order.fee_asset,
            "stp": order.echo.get("stp") or None,
            "timeInForce": order.echo.get("tif") or WORDS[order.time_in_force],
            "postOnly": order.time_in_force is TimeInForce.POST_ONLY,
            "hidden": False,
            "iceberg": False,
            "visibleSize": "0",
            "cancelAfter": int(order.echo.get("cancelAfter", "0")),
            "channel": "API",
            "remark": order.echo.get("remark") or None,
            "tags": order.echo.get("tags") or None,
            "cancelExist": bool(left) and not order.open,
            "tradeType": "TRADE",
            "inOrderBook": order.open,
            "active": order.open,
            "tax": "0",
            "createdAt": millis(order.created_at),
            "lastUpdatedAt": millis(order.updated_at),
        }

    def synced(self, order: Order) -> Row:
        """What the `sync` calls add to the ids: the order after matching."""
        sheet = self._facts.by_id[order.instrument]
        left = order.lots - order.filled_lots
        return {
            "originSize": sheet.size(order.lots),
            "dealSize": sheet.size(order.filled_lots),
            "remainSize": sheet.size(left) if order.open else "0",
            "canceledSize": "0" if order.open else sheet.size(left),
            "status": "open" if order.open else "done",
        }

    def fill(self, fill: Fill) -> Row:
        sheet = self._facts.by_id[fill.instrument]
        order = self._facts.exchange.order(fill.account, fill.order_id)
        other = "taker" if fill.maker else "maker"
        return {
            "id": fill.id,
            "orderId": names.spot_order(fill.order_id),
            "counterOrderId": names.stranger(True, sheet.id, fill.trade_id, other),
            "tradeId": names.trade(True, fill.trade_id),
            "symbol": sheet.symbol,
            "side": word_of(fill.side),
            "liquidity": "maker" if fill.maker else "taker",
            "type": kind_of(order),
            "forceTaker": False,
            "price": sheet.price(fill.ticks),
            "size": sheet.size(fill.lots),
            "funds": amount(fill.value, 14),
            "fee": amount(fill.fee, 14),
            "feeRate": amount(fill.fee_rate),
            "feeCurrency": fill.fee_asset,
            "stop": "",
            "tradeType": "TRADE",
            "taxRate": "0",
            "tax": "0",
            "createdAt": millis(fill.at),
        }
