"""Positions, leverage, margin mode, position mode and funding payments of futures."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal

from oneprice.model.units import ROUNDED, ZERO
from oneprice.twin.contract import Fill, FundingSettled, Position, Refusal
from oneprice.twin.dialects.kucoin import wishes
from oneprice.twin.dialects.kucoin.envelope import Failure, Row, amount, millis
from oneprice.twin.dialects.kucoin.facts import FUTURES, Call, Facts, Sheet
from oneprice.twin.dialects.kucoin.fields import invalid
from oneprice.twin.dialects.kucoin.futures_rows import FuturesRows
from oneprice.twin.dialects.kucoin.futures_trade import MODES, POSITION_INDEX
from oneprice.twin.dialects.kucoin.limits import PoolName
from oneprice.twin.dialects.kucoin.paging import offsets
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Route

ConfigChanged = Callable[[str, str, Row, int], None]  # account, topic, data, at


class PositionsRest:
    """Section 10; changes of mode and leverage are told on the private stream."""

    def __init__(self, facts: Facts, rows: FuturesRows, tell: ConfigChanged) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._rows = rows
        self._tell = tell

    def routes(self) -> list[Route]:
        place = "/api/v2/position"
        return [
            _route("GET", "/api/v1/positions", self.positions, 2),
            _route("GET", "/api/v1/position", self.position, 2),
            _route("GET", place, self.position, 2),
            _route("GET", "/api/v1/history-positions", self.history, 2),
            _route("GET", f"{place}/getMarginMode", self.margin_mode, 2),
            _route("POST", f"{place}/changeMarginMode", self.change_margin_mode, 2),
            _route("POST", f"{place}/batchChangeMarginMode", self.change_margin_modes, 2),
            _route("GET", f"{place}/getPositionMode", self.position_mode, 4),
            _route("POST", f"{place}/switchPositionMode", self.switch_position_mode, 4),
            _route("GET", "/api/v2/getCrossUserLeverage", self.leverage, 2),
            _route("POST", "/api/v2/changeCrossUserLeverage", self.change_leverage, 2),
            _route("GET", "/api/v2/getMaxOpenSize", self.max_open_size, 2),
            _route("POST", "/api/v1/position/margin/deposit-margin", self.deposit_margin, 4),
            _route("POST", "/api/v1/margin/withdrawMargin", self.withdraw_margin, 10),
            _route("GET", "/api/v1/margin/maxWithdrawMargin", self.max_withdraw, 10),
            _route("POST", "/api/v1/position/risk-limit-level/change", self.risk_level, 5),
            _route("GET", "/api/v1/funding-history", self.funding_history, 5),
        ]

    # Positions -------------------------------------------------------------------------------

    def positions(self, call: Call) -> list[Row]:
        """Open ones only."""
        currency = call.fields.text("currency")
        found = [
            one
            for one in self._exchange.positions(call.key, FUTURES)
            if one.lots and currency in ("", self._sheet_of(one).instrument.settle)
        ]
        return [self._rows.position(one, call.owner.uid, call.at) for one in found]

    def position(self, call: Call) -> Row | list[Row]:
        """One contract, flat or not; in hedge mode its two sides."""
        sheet = self._sheet(call)
        hedged = self._exchange.hedge_mode(call.key, FUTURES)
        rows = [
            self._rows.position(
                self._exchange.position(call.key, sheet.id, index), call.owner.uid, call.at
            )
            for index in ((1, 2) if hedged else (0,))
        ]
        return rows if hedged else rows[0]

    def history(self, call: Call) -> Row:
        """Closed parts of positions, newest first, one row per closing fill."""
        symbol = call.fields.text("symbol")
        instrument = self._facts.sheet(False, symbol).id if symbol else ""
        fills = self._exchange.fills(call.key, market=FUTURES, instrument=instrument)
        closed = [fill for fill in reversed(fills) if fill.closed_lots]
        size = call.fields.whole("limit", 10, 1, 200)
        page = call.fields.whole("pageId", 1, 1, 1 << 31)
        chosen = closed[(page - 1) * size : page * size]
        return {
            "currentPage": page,
            "pageSize": size,
            "totalNum": len(closed),
            "totalPage": -(-len(closed) // size),
            "items": [self._closed(fill) for fill in chosen],
        }

    def _closed(self, fill: Fill) -> Row:
        sheet = self._facts.by_id[fill.instrument]
        price = fill.price or sheet.instrument.price(fill.ticks)
        long = fill.side.opposite.name == "BUY"
        opened = _entry(sheet, fill, price)
        return {
            "closeId": str(5 * 10**17 + fill.id),
            "userId": "",
            "symbol": sheet.symbol,
            "settleCurrency": sheet.instrument.settle,
            "leverage": amount(self._exchange.leverage(fill.account, fill.instrument)),
            "type": "CLOSE_LONG" if long else "CLOSE_SHORT",
            "pnl": amount(fill.realised - fill.fee),
            "realisedGrossCost": amount(-fill.realised),
            "withdrawPnl": "0.0",
            "tradeFee": amount(fill.fee),
            "fundingFee": "0.0",
            "openTime": millis(fill.at),
            "closeTime": millis(fill.at),
            "openPrice": amount(opened, 8),
            "closePrice": amount(price, 8),
            "marginMode": self._exchange.margin_mode(fill.account, fill.instrument).upper(),
            "tax": "0.0",
            "roe": None,
            "liquidAmount": None,
            "liquidPrice": None,
            "side": "LONG" if long else "SHORT",
        }

    # Modes -----------------------------------------------------------------------------------

    def margin_mode(self, call: Call) -> Row:
        sheet = self._sheet(call)
        mode = self._exchange.margin_mode(call.key, sheet.id)
        return {"symbol": sheet.symbol, "marginMode": mode.upper()}

    def change_margin_mode(self, call: Call) -> Row:
        sheet = self._sheet(call)
        mode = call.fields.choice("marginMode", tuple(MODES))
        self._set_mode(call, sheet, mode)
        return {"symbol": sheet.symbol, "marginMode": mode}

    def change_margin_modes(self, call: Call) -> Row:
        """Each contract by itself; the answer tells the mode that each has now."""
        mode = call.fields.choice("marginMode", tuple(MODES))
        symbols = call.fields.raw("symbols")
        if not isinstance(symbols, list):
            raise invalid("symbols", symbols)
        modes: dict[str, str] = {}
        errors: list[Row] = []
        for symbol in symbols:
            sheet = self._facts.sheet(False, str(symbol))
            try:
                self._set_mode(call, sheet, mode)
            except Failure as refused:
                errors.append({"code": refused.code, "msg": refused.text, "symbol": symbol})
            modes[sheet.symbol] = self._exchange.margin_mode(call.key, sheet.id).upper()
        return {"marginMode": modes, "errors": errors}

    def _set_mode(self, call: Call, sheet: Sheet, mode: str) -> None:
        try:
            self._exchange.set_margin_mode(call.key, sheet.id, MODES[mode], call.at)
        except Refusal as refusal:
            if refusal.word == "mode_unchanged":
                return
            raise failure(refusal, False) from None
        self._tell(call.key, "/contract/marginMode", {sheet.symbol: mode}, call.at)

    def position_mode(self, call: Call) -> Row:
        return {"positionMode": int(self._exchange.hedge_mode(call.key, FUTURES))}

    def switch_position_mode(self, call: Call) -> Row:
        """0 one-way, 1 hedge; refused while there are orders or positions."""
        mode = call.fields.choice("positionMode", ("0", "1"))
        try:
            self._exchange.set_hedge_mode(call.key, FUTURES, mode == "1", call.at)
        except Refusal as refusal:
            if refusal.word != "mode_unchanged":
                raise failure(refusal, False) from None
        return {"positionMode": int(mode)}

    # Leverage and margin ---------------------------------------------------------------------

    def leverage(self, call: Call) -> Row:
        sheet = self._sheet(call)
        leverage = self._exchange.leverage(call.key, sheet.id)
        return {"symbol": sheet.symbol, "leverage": amount(leverage)}

    def change_leverage(self, call: Call) -> bool:
        """Of cross margin; isolated orders bring theirs along."""
        sheet = self._sheet(call)
        wanted = wishes.positive("leverage", call.fields)
        try:
            self._exchange.set_leverage(call.key, sheet.id, wanted, call.at)
        except Refusal as refusal:
            if refusal.word != "nothing_changed":
                raise wishes.translated(self._exchange, sheet, None, refusal) from None
            return True
        change = {sheet.symbol: {"leverage": amount(wanted)}}
        self._tell(call.key, "/contract/crossLeverage", change, call.at)
        return True

    def max_open_size(self, call: Call) -> Row:
        """Contracts that the available balance carries at a price and leverage."""
        sheet = self._sheet(call)
        price = call.fields.decimal("price") or self._exchange.ticker(sheet.id).mark
        leverage = call.fields.decimal("leverage") or self._exchange.leverage(
            call.key, sheet.id
        )
        if price <= 0 or leverage <= 0:
            raise invalid("price or leverage", price)
        wallet = self._facts.wallet(FUTURES)
        free = self._exchange.balance(call.key, wallet, sheet.instrument.settle).available
        per_lot = sheet.instrument.lot * sheet.instrument.contract_value
        cost = ROUNDED.divide(per_lot, price) if sheet.inverse else per_lot * price
        cost = ROUNDED.divide(cost, leverage) + cost * sheet.extras.taker_fee
        count = int(ROUNDED.divide(free, cost).to_integral_value(ROUND_FLOOR)) if cost else 0
        count = min(count, int(sheet.instrument.lots_max) or count)
        return {"symbol": sheet.symbol, "maxBuyOpenSize": count, "maxSellOpenSize": count}

    def deposit_margin(self, call: Call) -> Row:
        """Puts money to an isolated position; the answer is the position."""
        self._margin(call, wishes.positive("margin", call.fields))
        index = self._index(call)
        found = self._exchange.position(call.key, self._sheet(call).id, index)
        return self._rows.position(found, call.owner.uid, call.at)

    def withdraw_margin(self, call: Call) -> str:
        wanted = wishes.positive("withdrawAmount", call.fields)
        self._margin(call, -wanted)
        return amount(wanted)

    def max_withdraw(self, call: Call) -> str:
        """What an isolated position holds beyond its initial margin."""
        found = self._exchange.position(call.key, self._sheet(call).id, self._index(call))
        return amount(max(ZERO, found.margin - found.initial_margin))

    def _margin(self, call: Call, change: Decimal) -> None:
        sheet = self._sheet(call)
        try:
            self._exchange.add_margin(call.key, sheet.id, self._index(call), change, call.at)
        except Refusal as refusal:
            raise wishes.translated(self._exchange, sheet, None, refusal) from None

    def risk_level(self, call: Call) -> bool:
        """Caps the position value; open orders of the contract are cancelled."""
        sheet = self._sheet(call)
        level = call.fields.whole("level", 0, 1, 1000)
        try:
            self._exchange.set_risk_limit(call.key, sheet.id, level, call.at)
        except Refusal as refusal:
            if refusal.word == "nothing_changed":
                return True
            raise wishes.translated(self._exchange, sheet, None, refusal) from None
        self._exchange.cancel_all(call.key, call.at, instrument=sheet.id)
        return True

    # Funding ---------------------------------------------------------------------------------

    def funding_history(self, call: Call) -> Row:
        """Own payments, newest first; below zero was paid."""
        sheet = self._sheet(call)
        start, end = call.fields.span()
        found: list[tuple[int, FundingSettled]] = [
            (one.id, one)
            for one in reversed(self._exchange.fundings(call.key, market=FUTURES))
            if one.instrument == sheet.id and start <= millis(one.at) <= end
        ]
        return offsets(found, call.fields, self._rows.funding)

    def _sheet(self, call: Call) -> Sheet:
        return self._facts.sheet(False, call.fields.need("symbol"))

    def _sheet_of(self, position: Position) -> Sheet:
        return self._facts.by_id[position.instrument]

    def _index(self, call: Call) -> int:
        return POSITION_INDEX[
            call.fields.choice("positionSide", tuple(POSITION_INDEX), "BOTH")
        ]


def _route(method: str, path: str, handler: Callable[[Call], object], weight: int) -> Route:
    return Route(method, path, handler, PoolName.FUTURES, weight)


def _entry(sheet: Sheet, fill: Fill, price: Decimal) -> Decimal:
    """The entry price that explains the realised profit of a closing fill."""
    size = sheet.instrument.size(fill.closed_lots) * sheet.instrument.contract_value
    size *= -fill.side.value  # of the position
    if not size:
        return price
    if sheet.inverse:
        inverse = ROUNDED.divide(fill.realised, size) + ROUNDED.divide(Decimal(1), price)
        return ROUNDED.divide(Decimal(1), inverse) if inverse else price
    return price - ROUNDED.divide(fill.realised, size)
