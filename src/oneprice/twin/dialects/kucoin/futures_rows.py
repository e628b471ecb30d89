"""Futures orders, fills and positions as REST and the private streams show them."""

from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ROUNDED, ZERO
from oneprice.twin.contract import Exchange, Fill, FundingSettled, Order, Position
from oneprice.twin.dialects.kucoin import names
from oneprice.twin.dialects.kucoin.envelope import Row, amount, millis, number
from oneprice.twin.dialects.kucoin.facts import Facts, Sheet, client_of, kind_of, word_of

TRADE_TYPES = {"liquidation": "liquid", "adl": "adl", "delivery": "settlement"}
POSITION_SIDES = {0: "BOTH", 1: "LONG", 2: "SHORT"}


def trade_type(reason: str) -> str:
    """Whose order it was: the customer's (`trade`) or the venue's own."""
    return TRADE_TYPES.get(reason, "trade")


class FuturesRows:
    """Sizes are whole contracts, prices text, times ms or ns as section 9 mixes them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._exchange: Exchange = facts.exchange

    # Orders ----------------------------------------------------------------------------------

    def order(self, order: Order) -> Row:
        sheet = self._facts.by_id[order.instrument]
        market = kind_of(order) == "market"
        price = order.average if market else sheet.instrument.price(order.ticks)
        filled = sheet.quantity(order.filled_lots)
        return {
            "id": names.futures_order(order.id),
            "symbol": sheet.symbol,
            "type": kind_of(order),
            "side": word_of(order.side),
            "price": "0" if market else sheet.price(order.ticks),
            "size": sheet.quantity(order.lots),
            "value": amount(_value(sheet, order.lots, price)),
            "dealValue": amount(order.filled_value),
            "dealSize": filled,
            "stp": order.echo.get("stp", ""),
            "stop": "",
            "stopPriceType": "",
            "stopTriggered": False,
            "stopPrice": None,
            "timeInForce": "IOC" if order.time_in_force is TimeInForce.IOC and not market
            else "GTC",
            "postOnly": order.time_in_force is TimeInForce.POST_ONLY,
            "hidden": False,
            "iceberg": False,
            "leverage": order.echo.get("leverage", ""),
            "forceHold": False,
            "closeOrder": order.echo.get("closeOrder") == "true",
            "visibleSize": 0,
            "clientOid": client_of(order),
            "remark": order.echo.get("remark") or None,
            "tags": "",
            "isActive": order.open,
            "cancelExist": order.filled_lots < order.lots and not order.open,
            "createdAt": millis(order.created_at),
            "updatedAt": millis(order.updated_at),
            "endAt": None if order.open else millis(order.updated_at),
            "orderTime": order.created_at,
            "settleCurrency": sheet.instrument.settle,
            "marginMode": self.mode(order),
            "positionSide": POSITION_SIDES[order.position_index],
            "avgDealPrice": amount(order.average),
            "filledSize": filled,
            "filledValue": amount(order.filled_value),
            "status": "open" if order.open else "done",
            "reduceOnly": order.reduce_only,
            "tradeType": trade_type(order.reason),
        }

    def mode(self, order: Order) -> str:
        """The margin mode that an order was placed in; of the venue's own orders the present."""
        known = order.echo.get("marginMode")
        return known or self._exchange.margin_mode(order.account, order.instrument).upper()

    def fill(self, fill: Fill) -> Row:
        sheet = self._facts.by_id[fill.instrument]
        order = self._exchange.order(fill.account, fill.order_id)
        closing = ROUNDED.divide(fill.fee * fill.closed_lots, Decimal(fill.lots))
        price = fill.price or sheet.instrument.price(fill.ticks)
        return {
            "symbol": sheet.symbol,
            "tradeId": str(names.trade(False, fill.trade_id)),
            "orderId": names.futures_order(fill.order_id),
            "side": word_of(fill.side),
            "liquidity": "maker" if fill.maker else "taker",
            "forceTaker": False,
            "price": amount(price),
            "size": sheet.quantity(fill.lots),
            "value": amount(fill.value),
            "openFeePay": amount(fill.fee - closing),
            "closeFeePay": amount(closing),
            "stop": "",
            "feeRate": f"{fill.fee_rate:.5f}",
            "fixFee": "0",
            "feeCurrency": fill.fee_asset,
            "subTradeType": None,
            "marginMode": self.mode(order),
            "openFeeTaxPay": "0",
            "closeFeeTaxPay": "0",
            "displayType": kind_of(order),
            "fee": amount(fill.fee),
            "settleCurrency": sheet.instrument.settle,
            "orderType": kind_of(order),
            "tradeType": trade_type(fill.reason),
            "tradeTime": fill.at,
            "createdAt": millis(fill.at),
        }

    # Positions -------------------------------------------------------------------------------

    def position(self, position: Position, uid: int, at: int) -> Row:
        """A whole row; signs of costs as on the venue: an inverse long costs less than nothing."""
        sheet = self._facts.by_id[position.instrument]
        place = (position.instrument, position.position_index)
        isolated = position.margin_mode == "isolated"
        opened = position.lots != 0
        return {
            "id": names.position(uid, *place),
            "symbol": sheet.symbol,
            "crossMode": not isolated,
            "marginMode": position.margin_mode.upper(),
            "positionSide": POSITION_SIDES[position.position_index],
            "autoDeposit": False,
            "delevPercentage": number(Decimal(position.adl_rank) / 5, 2),
            "openingTimestamp": millis(position.created_at) if opened else None,
            "currentTimestamp": millis(at),
            "isOpen": opened,
            "settleCurrency": sheet.instrument.settle,
            "isInverse": sheet.inverse,
            "riskLimitLevel": position.tier,
            "riskLimit": int(self._tier_end(position)),
            **self._costs(sheet, position),
            **self._margins(position),
            **self.marked(position, at),
            "avgEntryPrice": number(position.entry, 8),
            "bankruptPrice": number(position.bankruptcy, 8),
            "leverage": number(position.leverage, 2),
            "realLeverage": number(_times(position), 4),
        }

    def marked(self, position: Position, at: int) -> Row:
        """What a change of the mark price changes: the partial row of section 7.5."""
        sheet = self._facts.by_id[position.instrument]
        cost = abs(_value(sheet, position.lots, position.entry))
        unrealised = position.unrealised
        margin = self._margin(position)
        return {
            "markPrice": sheet.quoted(position.mark),
            "markValue": number(_signed(sheet, position.lots, position.value)),
            "maintMargin": number(margin + unrealised),
            "realLeverage": number(_times(position), 4),
            "unrealisedPnl": number(unrealised),
            "unrealisedPnlPcnt": number(_part(unrealised, cost), 4),
            "unrealisedRoePcnt": number(_part(unrealised, margin), 4),
            "delevPercentage": number(Decimal(position.adl_rank) / 5, 2),
            "currentTimestamp": millis(at),
            "settleCurrency": sheet.instrument.settle,
            "liquidationPrice": number(position.liquidation, 8),
        }

    def settlement(self, settled: FundingSettled, at: int) -> Row:
        """`position.settlement`: funding was paid (below zero) or received."""
        sheet = self._facts.by_id[settled.instrument]
        return {
            "symbol": sheet.symbol,
            "fundingTime": millis(settled.at),
            "qty": _lots(sheet, settled.lots),
            "markPrice": sheet.quoted(settled.mark),
            "fundingRate": number(settled.rate),
            "fundingFee": number(settled.amount, 8),
            "ts": at,
            "settleCurrency": settled.asset,
            "marginMode": self._exchange.margin_mode(
                settled.account, settled.instrument
            ).upper(),
            "positionSide": POSITION_SIDES[settled.position_index],
        }

    def funding(self, settled: FundingSettled) -> Row:
        """A row of funding-history."""
        sheet = self._facts.by_id[settled.instrument]
        mode = self._exchange.margin_mode(settled.account, settled.instrument).upper()
        side = POSITION_SIDES[settled.position_index]
        return {
            "id": settled.id,
            "symbol": sheet.symbol,
            "timePoint": millis(settled.at),
            "fundingRate": number(settled.rate),
            "markPrice": sheet.quoted(settled.mark),
            "positionQty": _lots(sheet, settled.lots),
            "positionCost": number(_signed(sheet, settled.lots, settled.value), 8),
            "funding": number(settled.amount, 8),
            "settleCurrency": settled.asset,
            "context": f'{{"marginMode": "{mode}", "positionSide": "{side}"}}',
            "marginMode": mode,
        }

    def _costs(self, sheet: Sheet, position: Position) -> Row:
        cost = number(_signed(sheet, position.lots, abs(_value(
            sheet, position.lots, position.entry
        ))))
        gross = position.realised + position.fees - position.funding
        return {
            "currentQty": _lots(sheet, position.lots),
            "currentCost": cost,
            "currentComm": number(position.fees),
            "unrealisedCost": cost,
            "realisedCost": number(-position.realised),
            "realisedGrossCost": number(-gross),
            "realisedGrossPnl": number(gross),
            "realisedPnl": number(position.realised),
            "posCost": cost,
            "posFunding": number(position.funding),
            "posComm": number(position.fees),
            "posLoss": 0,
        }

    def _margins(self, position: Position) -> Row:
        initial = position.initial_margin if position.lots else ZERO
        return {
            "maintMarginReq": number(_part(position.maintenance_margin, position.value), 6),
            "posMaint": number(position.maintenance_margin),
            "posInit": number(initial),
            "posMargin": number(self._margin(position)),
            "posCross": 0,
        }

    def _margin(self, position: Position) -> Decimal:
        """What is set aside for it: its own money, or in cross mode what it needs."""
        if position.margin_mode == "isolated":
            return position.margin
        return position.initial_margin if position.lots else ZERO

    def _tier_end(self, position: Position) -> Decimal:
        for tier in self._exchange.tiers(position.instrument):
            if tier.number == position.tier:
                return tier.value_to
        return ZERO


def _lots(sheet: Sheet, lots: int) -> int:
    return int(sheet.instrument.size(lots))


def _value(sheet: Sheet, lots: int, price: Decimal) -> Decimal:
    """Contracts at a price, in the settle coin."""
    size = sheet.instrument.size(lots) * sheet.instrument.contract_value
    if not price:
        return ZERO
    return ROUNDED.divide(size, price) if sheet.inverse else size * price


def _signed(sheet: Sheet, lots: int, value: Decimal) -> Decimal:
    """A position's value with the venue's sign: longs above zero, of inverse ones below."""
    long = lots > 0
    return value if long is not sheet.inverse else -value


def _part(share: Decimal, whole: Decimal) -> Decimal:
    return ROUNDED.divide(share, whole) if whole else ZERO


def _times(position: Position) -> Decimal:
    """The leverage that the money behind a position amounts to now."""
    backing = position.margin if position.margin_mode == "isolated" else position.initial_margin
    backing += position.unrealised
    return ROUNDED.divide(position.value, backing) if backing > 0 and position.lots else ZERO
