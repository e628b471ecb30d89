"""Order requests of REST and of the trade socket: read, checked against the grid, carried out."""

import re
from collections.abc import Callable
from decimal import Decimal

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import OffGrid
from oneprice.model.units import Side
from oneprice.twin.contract import (
    AccountSpec,
    Exchange,
    Kind,
    Order,
    OrderRequest,
    Refusal,
)
from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure, Row
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.fields import Fields, invalid
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.order_rows import SMP, TIME_IN_FORCE, OrderRows
from oneprice.twin.dialects.bybit.refusals import bad_word, failure, off_grid, out_of_band

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
TIFS = {text: word for word, text in TIME_IN_FORCE.items()}
SMPS = {text: word for word, text in SMP.items()}
# Features of the venue that the twin refuses instead of pretending.
CONDITIONAL = ("triggerPrice", "takeProfit", "stopLoss", "bboSideType", "orderIv")


class OrderEntry:
    """Turns the venue's requests into wishes of the exchange and answers with the two ids."""

    def __init__(self, exchange: Exchange, sheets: Sheets, names: Names, rows: OrderRows) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._names = names
        self._rows = rows
        # (key, is spot) -> what happens to a price outside the band: moved to it, or refused
        self.adjusts: dict[tuple[str, bool], bool] = {}

    def sheet(self, category: str, symbol: str) -> Sheet:
        """The instrument, or the refusal that the category uses for unknown symbols."""
        sheet = self._sheets.find(category, symbol)
        if sheet is None:
            raise failure(Refusal("no_such_instrument"), category)
        return sheet

    # The three requests --------------------------------------------------------------------

    def create(self, account: AccountSpec, category: str, fields: Fields, at: int) -> Row:
        """Place an order; what the engine thinks of it shows on the stream (section 5)."""
        sheet = self.sheet(category, fields.need("symbol"))
        order = self._carry(category, lambda: self._place(account, sheet, fields, at))
        return self._ids(order)

    def amend(self, account: AccountSpec, category: str, fields: Fields, at: int) -> Row:
        """Change price or total size of an open order; its id stays."""
        sheet = self.sheet(category, fields.need("symbol"))
        order = self.find(account, sheet, fields)
        lots = self._lots(sheet, fields) if "qty" in fields else None
        ticks = self._ticks(account, sheet, order.side, fields) if "price" in fields else None
        if lots is None and ticks is None:
            raise failure(Refusal("nothing_changed"), category)
        changed = self._carry(
            category,
            lambda: self._exchange.amend(account.key, order.id, ticks=ticks, lots=lots, at=at),
        )
        return self._ids(changed)

    def cancel(self, account: AccountSpec, category: str, fields: Fields, at: int) -> Row:
        """Cancel an open order; late cancels are refused like unknown ids."""
        sheet = self.sheet(category, fields.need("symbol"))
        order = self.find(account, sheet, fields)
        return self._ids(
            self._carry(category, lambda: self._exchange.cancel(account.key, order.id, at))
        )

    def cancel_all(self, account: AccountSpec, category: str, fields: Fields, at: int) -> Row:
        """Cancel everything that matches symbol, base coin or settle coin (section 5.4)."""
        narrowing = ("symbol", "baseCoin", "settleCoin")
        if category != "spot" and not any(name in fields for name in narrowing):
            raise Failure(BAD_PARAMETER, "params error: symbol, baseCoin or settleCoin required")
        if "symbol" in fields:
            self.sheet(category, fields.need("symbol"))
        cancelled = []
        for order in self._exchange.orders(account.key, market=category, only_open=True):
            if self.matches(self._sheets.by_id[order.instrument], fields):
                cancelled.append(self._exchange.cancel(account.key, order.id, at))
        return {"list": [self._ids(order) for order in cancelled], "success": "1"}

    # Finding ---------------------------------------------------------------------------------

    def find(self, account: AccountSpec, sheet: Sheet, fields: Fields) -> Order:
        """The order that a request names; `orderId` wins over `orderLinkId`."""
        if "orderId" not in fields and "orderLinkId" not in fields:
            raise Failure(BAD_PARAMETER, "params error: orderId or orderLinkId is required")
        order = self.seek(account, sheet.category, fields)
        if order is None or order.instrument != sheet.id:
            raise failure(Refusal("no_such_order"), sheet.category)
        return order

    def seek(self, account: AccountSpec, category: str, fields: Fields) -> Order | None:
        """The order with the given id in a category, open or closed, or None."""
        link = fields.text("orderLinkId")
        try:
            if "orderId" in fields:
                number = self._names.order_number(category, fields.text("orderId"))
                order = self._exchange.order(account.key, number)
            elif category == "spot" and (number := self._names.generated_link_number(link)):
                order = self._exchange.order(account.key, number)
            else:
                order = self._exchange.order_by_client_id(account.key, link)
                if self._sheets.by_id[order.instrument].category != category:
                    return self._seek_in(account, category, link)
        except Refusal:
            return None
        return order if self._sheets.by_id[order.instrument].category == category else None

    def matches(self, sheet: Sheet, fields: Fields) -> bool:
        """Whether an instrument is meant by symbol, else base coin, else settle coin."""
        if "symbol" in fields:
            return sheet.symbol == fields.text("symbol")
        if "baseCoin" in fields:
            return sheet.instrument.base == fields.text("baseCoin")
        if "settleCoin" in fields:
            return sheet.instrument.settle == fields.text("settleCoin")
        return True

    def _seek_in(self, account: AccountSpec, category: str, link: str) -> Order | None:
        for order in reversed(self._exchange.orders(account.key, market=category)):
            if order.client_id == link:
                return order
        return None

    # Reading a new order ---------------------------------------------------------------------

    def _place(self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int) -> Order:
        category = sheet.category
        for name in CONDITIONAL:
            if name in fields:
                raise invalid(name, "conditional and TP/SL orders are not offered here")
        if fields.text("orderFilter", "Order") != "Order":
            raise invalid("orderFilter", fields.text("orderFilter"))
        side = SIDES.get(fields.need("side"))
        if side is None:
            raise bad_word(category, "side", fields.text("side"))
        kind = {"Limit": Kind.LIMIT, "Market": Kind.MARKET}.get(fields.need("orderType"))
        if kind is None:
            raise bad_word(category, "orderType", fields.text("orderType"))
        tif = TIFS.get(fields.text("timeInForce", "GTC"))
        if tif is None:
            raise bad_word(category, "timeInForce", fields.text("timeInForce"))
        link = fields.text("orderLinkId")
        if link and not LINK_ID.fullmatch(link):
            raise invalid("orderLinkId", link)
        smp = SMPS.get(fields.text("smpType", "None"))
        if smp is None:
            raise invalid("smpType", fields.text("smpType"))
        request = OrderRequest(
            account=account.key,
            instrument=sheet.id,
            side=side,
            lots=0,
            kind=kind,
            time_in_force=TimeInForce.IOC if kind is Kind.MARKET else tif,
            client_id=link,
            reduce_only=not sheet.spot and fields.flag("reduceOnly"),
            position_index=0 if sheet.spot else fields.whole("positionIdx", 0, 0, 2),
            self_trade=smp,
            echo={"last": sheet.trimmed(self._exchange.ticker(sheet.id).last_ticks)},
        )
        return self._exchange.place(self._sized(account, sheet, request, fields), at)

    def _sized(
        self, account: AccountSpec, sheet: Sheet, request: OrderRequest, fields: Fields
    ) -> OrderRequest:
        """The request with price and size, which mean different things by category and type."""
        if request.kind is Kind.LIMIT:
            if "price" not in fields:
                raise Failure(BAD_PARAMETER, "params error: price is required")
            ticks = self._ticks(account, sheet, request.side, fields)
            return _changed(request, ticks=ticks, lots=self._lots(sheet, fields))
        ticks = self._slippage(sheet, request.side, fields)
        if not sheet.spot:
            lots = self._closing(account, sheet, request, fields) or self._lots(sheet, fields)
            return _changed(request, ticks=ticks, lots=lots)
        usual = "quoteCoin" if request.side is Side.BUY else "baseCoin"
        unit = fields.choice("marketUnit", ("baseCoin", "quoteCoin"), usual)
        echo = request.echo | {"marketUnit": unit}
        if unit == "baseCoin":
            return _changed(request, ticks=ticks, lots=self._lots(sheet, fields), echo=echo)
        amount = self._positive(sheet, "qty", fields)
        if amount % Decimal(sheet.facts.quote_step):
            raise Failure(170148, "Market order amount decimal too long.")
        return _changed(request, ticks=ticks, quote_amount=amount, echo=echo)

    def _closing(
        self, account: AccountSpec, sheet: Sheet, request: OrderRequest, fields: Fields
    ) -> int:
        """Lots of the position for `qty` 0 with reduceOnly and closeOnTrigger, else 0."""
        if fields.text("qty") != "0" or not request.reduce_only:
            return 0
        if not fields.flag("closeOnTrigger"):
            return 0
        held = self._exchange.position(account.key, sheet.id, request.position_index).lots
        if held * request.side >= 0:
            raise failure(Refusal("reduce_only"), sheet.category)
        largest = sheet.extras.market_lots_max or int(sheet.instrument.lots_max) or abs(held)
        return min(abs(held), largest)

    def _lots(self, sheet: Sheet, fields: Fields) -> int:
        amount = self._positive(sheet, "qty", fields)
        try:
            return sheet.instrument.lots(amount)
        except OffGrid:
            raise off_grid(sheet.category, "qty") from None

    def _ticks(self, account: AccountSpec, sheet: Sheet, side: Side, fields: Fields) -> int:
        """Ticks of `price`, moved to the allowed band or refused as the account has chosen."""
        price = self._positive(sheet, "price", fields)
        try:
            ticks = int(sheet.instrument.ticks(price))
        except OffGrid:
            raise off_grid(sheet.category, "price") from None
        highest, lowest = self._exchange.price_band(sheet.id)
        allowed = ticks
        if side is Side.BUY and highest:
            allowed = min(ticks, highest)
        elif side is Side.SELL and lowest:
            allowed = max(ticks, lowest)
        if allowed != ticks and not self.adjusts.get((account.key, sheet.spot), not sheet.spot):
            raise out_of_band(sheet.category, side, sheet.trimmed(allowed))
        return allowed

    def _slippage(self, sheet: Sheet, side: Side, fields: Fields) -> int:
        """The protective price of a market order with slippage tolerance, else 0."""
        if "slippageToleranceType" not in fields:
            return 0
        kind = fields.choice("slippageToleranceType", ("TickSize", "Percent"))
        tolerance = self._positive(sheet, "slippageTolerance", fields)
        view = self._exchange.book(sheet.id, 1)
        opposite = view.asks if side is Side.BUY else view.bids
        if not opposite:
            raise failure(Refusal("no_liquidity"), sheet.category)
        best = opposite[0][0]
        away = int(tolerance if kind == "TickSize" else best * tolerance / 100)
        return max(1, best + side * away)

    def _positive(self, sheet: Sheet, name: str, fields: Fields) -> Decimal:
        number = fields.decimal(name)
        if number is None or number <= 0:
            raise bad_word(sheet.category, name, fields.text(name))
        return number

    def _carry(self, category: str, action: Callable[[], Order]) -> Order:
        try:
            return action()
        except Refusal as refusal:
            raise failure(refusal, category) from None

    def _ids(self, order: Order) -> Row:
        return {"orderId": self._rows.order_id(order), "orderLinkId": self._rows.link(order)}


def _changed(request: OrderRequest, **values: object) -> OrderRequest:
    return msgspec.structs.replace(request, **values)
