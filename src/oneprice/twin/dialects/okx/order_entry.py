"""Order requests of REST and of the private socket: read, checked, carried out."""

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
    SelfTrade,
)
from oneprice.twin.dialects.okx.envelope import Failure, Row, stamp
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.fields import Fields, missing, wrong
from oneprice.twin.dialects.okx.listings import SPOT_MARKET_MOST
from oneprice.twin.dialects.okx.names import CLIENT_ID, TAG, order_name, order_number
from oneprice.twin.dialects.okx.notes import Amendment, Notes
from oneprice.twin.dialects.okx.refusals import beyond, failure, halted

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
KINDS = {
    "market": TimeInForce.IOC,
    "limit": TimeInForce.GTC,
    "post_only": TimeInForce.POST_ONLY,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
    "optimal_limit_ioc": TimeInForce.IOC,
}
STPS = {
    "cancel_maker": SelfTrade.CANCEL_MAKER,
    "cancel_taker": SelfTrade.CANCEL_TAKER,
    "cancel_both": SelfTrade.CANCEL_BOTH,
}
POSITION_INDEXES = {"net": 0, "long": 1, "short": 2}
# Multi-currency accounts trade spot in `cross`; section 10.1 does not name `cash` for them, yet
# clients send it whatever the mode of the account, so it is taken.
SPOT_MODES = {"2": ("cash",), "3": ("cross", "cash")}


class OrderEntry:
    """Turns the venue's requests into wishes of the exchange and answers with verdicts."""

    def __init__(self, exchange: Exchange, sheets: Sheets, notes: Notes, level: str) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._notes = notes
        self.level = level  # acctLv: 2 futures mode, 3 multi-currency
        self.frozen_ns = 0  # so long after a funding instant orders are refused (51030)

    # Which instrument ------------------------------------------------------------------------

    def by_name(self, fields: Fields) -> Sheet:
        """The instrument of `instId`, as REST names it."""
        sheet = self._sheets.by_inst.get(fields.need("instId"))
        if sheet is None:
            raise failure(Refusal("no_such_instrument"))
        return sheet

    def by_code(self, fields: Fields) -> Sheet:
        """The instrument of `instIdCode`, as sockets name it; `instId` is ignored."""
        code = fields.raw("instIdCode")
        if code in (None, ""):
            raise missing("instIdCode")
        if isinstance(code, bool) or not isinstance(code, int):
            raise wrong("instIdCode")
        sheet = self._sheets.by_code.get(code)
        if sheet is None:
            raise failure(Refusal("no_such_instrument"))
        return sheet

    # The three requests ------------------------------------------------------------------------

    def place(self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int) -> Row:
        """Place an order; code 0 says that the engine took it, not what became of it."""
        self._check_thawed(sheet, at)
        request = self._request(account, sheet, fields, at)
        try:
            order = self._exchange.place(request, at)
        except Refusal as refusal:
            raise self._failure(refusal, sheet, request.side) from None
        return self._verdict(order, fields, at)

    def amend(self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int) -> Row:
        """Change price or total size of an open order; its id stays (section 10.2)."""
        name = fields.text("reqId")
        if name and not CLIENT_ID.fullmatch(name):
            raise wrong("reqId")
        if "newSz" not in fields and "newPx" not in fields:
            raise Failure("51500", "You must enter a price or quantity.")
        self._check_thawed(sheet, at)
        order = self._find(account, sheet, fields, "51503")
        try:
            after = self._amended(account, sheet, order, fields, at)
        except Failure:
            if not fields.flag("cxlOnFail"):
                raise
            after = self._exchange.cancel(account.key, order.id, at)
            self._notes.amendments[after.id, after.amended] = Amendment(name, "1")
            self._notes.sources[after.id] = "0"
        return self._verdict(after, fields, at) | {"reqId": name}

    def cancel(self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int) -> Row:
        """Cancel an open order; late cancels are refused like unknown ids (section 10.3)."""
        order = self._find(account, sheet, fields, "51400")
        return self._verdict(self._exchange.cancel(account.key, order.id, at), fields, at)

    def _check_thawed(self, sheet: Sheet, at: int) -> None:
        """Section 9: while funding is charged orders may be refused."""
        settled = self._exchange.funding_rows(sheet.id, limit=1) if self.frozen_ns else []
        if settled and at - settled[-1].at < self.frozen_ns:
            raise Failure("51030", "Funding fee is being settled.")

    # Finding -----------------------------------------------------------------------------------

    def seek(self, account: AccountSpec, sheet: Sheet, fields: Fields) -> Order | None:
        """The order with `ordId`, else the newest with `clOrdId`, open or closed."""
        if "ordId" not in fields and "clOrdId" not in fields:
            raise Failure("51003", "Either client order ID or order ID is required")
        try:
            if "ordId" in fields:
                order = self._exchange.order(account.key, order_number(fields.text("ordId")))
                return order if order.instrument == sheet.id else None
            return self._exchange.order_by_client_id(
                account.key, fields.text("clOrdId"), sheet.id
            )
        except Refusal:
            return None

    def _find(self, account: AccountSpec, sheet: Sheet, fields: Fields, code: str) -> Order:
        order = self.seek(account, sheet, fields)
        if order is None or not order.open:
            verb = "Cancellation" if code == "51400" else "Order modification"
            raise Failure(
                code,
                f"{verb} failed as the order has been filled, canceled or does not exist.",
            )
        return order

    # Amending ----------------------------------------------------------------------------------

    def _amended(
        self, account: AccountSpec, sheet: Sheet, order: Order, fields: Fields, at: int
    ) -> Order:
        lots = self._lots(sheet, fields, "newSz") if "newSz" in fields else None
        ticks = None
        if "newPx" in fields:
            ticks = self._ticks(sheet, order.side, fields, "newPx")
        key, name = account.key, fields.text("reqId")
        if lots is not None and order.filled_lots and lots <= order.filled_lots:
            self._notes.cut[order.id] = None  # section 10.2: such an order becomes filled
            after = self._exchange.cancel(key, order.id, at)
            self._notes.amendments[after.id, after.amended] = Amendment(name, "0")
            return after
        self._notes.amendments[order.id, order.amended + 1] = Amendment(name, "0")
        try:
            return self._exchange.amend(key, order.id, ticks=ticks, lots=lots, at=at)
        except Refusal as refusal:
            del self._notes.amendments[order.id, order.amended + 1]
            if refusal.word in ("no_such_order", "order_closed"):
                raise Failure("51503", "Order modification failed as the order does not exist.")\
                    from None
            raise self._failure(refusal, sheet, order.side) from None

    # Reading a new order -------------------------------------------------------------------------

    def _request(
        self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int
    ) -> OrderRequest:
        mode = self._mode(account, sheet, fields, at)
        side = SIDES.get(fields.need("side"))
        if side is None:
            raise wrong("side")
        word = fields.need("ordType")
        if word not in KINDS or (word == "optimal_limit_ioc" and sheet.spot):
            raise wrong("ordType")
        if fields.raw("attachAlgoOrds"):
            raise wrong("attachAlgoOrds")  # the twin refuses what it would have to pretend
        client_id, tag = fields.text("clOrdId"), fields.text("tag")
        if client_id and not CLIENT_ID.fullmatch(client_id):
            raise wrong("clOrdId")
        if tag and not TAG.fullmatch(tag):
            raise wrong("tag")
        self._check_free(account, client_id)
        index = self._index(account, sheet, fields)
        last = self._exchange.ticker(sheet.id).last_ticks
        request = OrderRequest(
            account=account.key,
            instrument=sheet.id,
            side=side,
            lots=0,
            kind=Kind.MARKET if word == "market" else Kind.LIMIT,
            time_in_force=KINDS[word],
            client_id=client_id,
            reduce_only=self._reduces(sheet, index, side, fields),
            position_index=index,
            self_trade=self._self_trade(word, fields),
            echo={"tdMode": mode, "tag": tag, "ordType": word, "lastPx": sheet.price(last)},
        )
        return self._whole(self._sized(sheet, request, fields), sheet)

    def _mode(self, account: AccountSpec, sheet: Sheet, fields: Fields, at: int) -> str:
        """`tdMode`, and where it is a margin mode the position's own one must not differ."""
        mode = fields.choice("tdMode", ("cash", "cross", "isolated", "spot_isolated"))
        allowed = SPOT_MODES[self.level] if sheet.spot else ("cross", "isolated")
        if mode not in allowed:
            raise Failure("51010", "Request unsupported under current account mode.")
        if not sheet.spot and mode != self._exchange.margin_mode(account.key, sheet.id):
            try:
                self._exchange.set_margin_mode(account.key, sheet.id, mode, at)
            except Refusal as refusal:
                if refusal.word != "mode_unchanged":
                    # The venue keeps a cross and an isolated position apart; the exchange of the
                    # twin has one, so the second mode is refused while the first one is in use.
                    raise Failure("59000", "Your settings failed as you have positions or open "
                                  "orders.") from None
        return mode

    def _index(self, account: AccountSpec, sheet: Sheet, fields: Fields) -> int:
        """The position index of `posSide`, which long/short mode demands."""
        word = fields.text("posSide", "net")
        index = POSITION_INDEXES.get(word)
        hedged = not sheet.spot and self._exchange.hedge_mode(account.key, sheet.market)
        if index is None or hedged != (index > 0):
            raise wrong("posSide")
        return index

    def _reduces(self, sheet: Sheet, index: int, side: Side, fields: Fields) -> bool:
        """Whether the order may only reduce: by wish, or as it closes a side of hedge mode."""
        wished = fields.flag("reduceOnly")
        if wished and sheet.spot:
            raise Failure("51205", "Reduce Only is not available.")
        if index:
            return side is (Side.SELL if index == 1 else Side.BUY)
        return wished

    def _self_trade(self, word: str, fields: Fields) -> SelfTrade:
        name = fields.text("stpMode", "cancel_maker")
        if name not in STPS:
            raise wrong("stpMode")
        if name == "cancel_both" and word == "fok":
            raise Failure("50016", "Parameter stpMode does not match parameter ordType.")
        return STPS[name]

    def _check_free(self, account: AccountSpec, client_id: str) -> None:
        """A client id must be unique among live orders of all instruments."""
        if client_id and any(
            order.client_id == client_id
            for order in self._exchange.orders(account.key, only_open=True)
        ):
            raise failure(Refusal("duplicate_id"))

    def _sized(self, sheet: Sheet, request: OrderRequest, fields: Fields) -> OrderRequest:
        """The request with price and size, which mean different things by type and market."""
        replace = msgspec.structs.replace
        if request.echo["ordType"] == "optimal_limit_ioc":
            highest, lowest = self._exchange.price_band(sheet.id)
            ticks = highest if request.side is Side.BUY else lowest
            return replace(request, ticks=ticks, lots=self._lots(sheet, fields))
        if request.kind is Kind.LIMIT:
            if "px" not in fields:
                raise wrong("px")
            ticks = self._ticks(sheet, request.side, fields, "px")
            return replace(request, ticks=ticks, lots=self._lots(sheet, fields))
        if not sheet.spot:
            return replace(request, lots=self._lots(sheet, fields, market=True))
        usual = "quote_ccy" if request.side is Side.BUY else "base_ccy"
        unit = fields.choice("tgtCcy", ("base_ccy", "quote_ccy"), usual)
        echo = request.echo | {"tgtCcy": unit}
        if unit == "base_ccy":
            return replace(request, lots=self._lots(sheet, fields, market=True), echo=echo)
        amount = fields.positive("sz")
        if amount > SPOT_MARKET_MOST:
            raise _too_much_at_market()
        return replace(request, quote_amount=amount, echo=echo)

    def _whole(self, request: OrderRequest, sheet: Sheet) -> OrderRequest:
        """A reduce-only order larger than the position is refused, never cut (section 10.1)."""
        if not request.reduce_only:
            return request
        held = self._exchange.position(request.account, sheet.id, request.position_index).lots
        if held * request.side >= 0:
            raise failure(Refusal("reduce_only"))
        if request.lots > abs(held):
            raise Failure("51112", "Close order size exceeds available size for this position.")
        return request

    def _lots(
        self, sheet: Sheet, fields: Fields, name: str = "sz", *, market: bool = False
    ) -> int:
        size = fields.positive(name)
        grid = sheet.instrument
        if size < grid.size(grid.lots_min):
            raise failure(Refusal("too_small"))
        try:
            lots = int(grid.lots(size))
        except OffGrid:
            raise Failure(
                "51121", "Order quantity must be a multiple of the lot size."
            ) from None
        most = sheet.extras.market_lots_max if market else 0
        if most and lots > most:
            raise _too_much_at_market()
        return lots

    def _ticks(self, sheet: Sheet, side: Side, fields: Fields, name: str) -> int:
        """Ticks of a price; with pxAmendType 1 a price beyond the limit is moved to it."""
        price = fields.positive(name)
        try:
            ticks = int(sheet.instrument.ticks(price))
        except OffGrid:
            raise Failure(
                "51150",
                "The number of decimal places of trade amount or trade price exceeds the limit.",
            ) from None
        if fields.text("pxAmendType") != "1":
            return ticks
        highest, lowest = self._exchange.price_band(sheet.id)
        if side is Side.BUY:
            return min(ticks, highest) if highest else ticks
        return max(ticks, lowest)

    def _failure(self, refusal: Refusal, sheet: Sheet, side: Side) -> Failure:
        """The refusal of an order with what the venue tells beside it."""
        if refusal.word == "price_band":
            highest, lowest = self._exchange.price_band(sheet.id)
            return beyond(sheet, side, sheet.price(highest if side is Side.BUY else lowest))
        if refusal.word == "not_tradable":
            return halted(sheet, self._exchange.listing(sheet.market, sheet.inst_id).status)
        return failure(refusal, sheet, side)

    def _verdict(self, order: Order, fields: Fields, at: int) -> Row:
        return {
            "clOrdId": order.client_id or fields.text("clOrdId"),
            "ordId": order_name(order.id),
            "tag": order.echo.get("tag", ""),
            "ts": stamp(at),
            "sCode": "0",
            "sMsg": "",
            "subCode": "",
        }


def refused(fields: Fields, failed: Failure, at: int, *, amends: bool = False) -> Row:
    """The verdict on an order operation that was not carried out."""
    row = {
        "clOrdId": _echoed(fields, "clOrdId"),
        "ordId": _echoed(fields, "ordId"),
        "tag": _echoed(fields, "tag"),
        "ts": stamp(at),
        "sCode": failed.code,
        "sMsg": failed.text,
        "subCode": failed.sub,
    }
    return row | {"reqId": _echoed(fields, "reqId")} if amends else row


def _too_much_at_market() -> Failure:
    return Failure("51202", "Market order amount exceeds the maximum amount.")


def _echoed(fields: Fields, name: str) -> str:
    value = fields.raw(name)
    return value if isinstance(value, str) else ""


def quantity(sheet: Sheet, size: Decimal) -> int:
    """Whole lots within a size."""
    return int(sheet.instrument.lots_within(size))
