"""Private topics: the life of orders, balances and positions as they change."""

from collections.abc import Sequence

from oneprice.model.units import SECOND, ZERO, Asset, InstrumentId, Money
from oneprice.twin.contract import (
    BalanceChanged,
    Exchange,
    Fill,
    Filled,
    FundingSettled,
    Order,
    OrderChanged,
    Output,
    PositionChanged,
)
from oneprice.twin.dialects.kucoin import names
from oneprice.twin.dialects.kucoin.envelope import Row, amount, encoded, millis
from oneprice.twin.dialects.kucoin.facts import (
    FUTURES,
    SPOT,
    Facts,
    Sheet,
    client_of,
    kind_of,
    word_of,
)
from oneprice.twin.dialects.kucoin.futures_rows import POSITION_SIDES, FuturesRows, trade_type
from oneprice.twin.dialects.kucoin.sessions import Sessions

# An order that ends for these reasons in the moment of its birth was never in the book.
NEVER_OPEN = ("ioc", "fok", "post_only", "no_liquidity", "self_trade")
RELATIONS = {"fill": "setted", "order": "hold", "transfer": "transfer", "deposit": "transfer"}
REASONS = {"liquidation": "liquidation", "adl": "adl", "margin": "marginChange"}


class PrivateStreams:
    """Tells every account what happened to it, in the order in which it happened."""

    def __init__(self, facts: Facts, rows: FuturesRows, sessions: Sessions) -> None:
        self._facts = facts
        self._exchange: Exchange = facts.exchange
        self._rows = rows
        self._sessions = sessions
        self._unopened: dict[int, Order] = {}  # new orders that may still come to rest
        self._shown: dict[tuple[str, str, Asset], tuple[Money, Money]] = {}  # free, held
        self._marks: dict[tuple[str, InstrumentId, int], str] = {}
        self._marked_at = 0
        self._messages = 0
        for account in facts.exchange.accounts():
            for balance in facts.exchange.balances(account.key, facts.wallet(SPOT)):
                place = (account.key, balance.wallet, balance.asset)
                self._shown[place] = (balance.free, balance.locked)

    # What happens ----------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        related: dict[str, Row] = {}  # account: what the next balance change is about
        for output in outputs:
            match output:
                case OrderChanged(order=order, cause=cause):
                    self._order(order, cause, output.at)
                    related[order.account] = self._context(order, None)
                case Filled(fill=fill, order=order):
                    self._filled(fill, order)
                    related[order.account] = self._context(order, fill)
                case BalanceChanged():
                    self._open_all()
                    self._balance(output, related.get(output.balance.account, {}), at)
                case PositionChanged(position=position, cause="leverage") if not position.lots:
                    continue  # nothing to tell of
                case PositionChanged(position=position, cause=cause):
                    self._open_all()
                    account = self._exchange.account(position.account)
                    row = self._rows.position(position, account.uid, at)
                    row["changeReason"] = REASONS.get(cause, "positionChange")
                    self._position(position.account, row["symbol"], "position.change", row)
                case FundingSettled():
                    row = self._rows.settlement(output, at)
                    self._position(output.account, row["symbol"], "position.settlement", row)
                case _:
                    pass
        self._open_all()

    def beat(self, at: int) -> None:
        """Once a second: partial rows of positions whose mark price moved (section 7.5)."""
        if at // SECOND == self._marked_at:
            return
        self._marked_at = at // SECOND
        for account in self._exchange.accounts():
            for position in self._exchange.positions(account.key, FUTURES):
                place = (account.key, position.instrument, position.position_index)
                symbol = self._facts.by_id[position.instrument].symbol
                if not position.lots or not self._followed(account.key, symbol):
                    continue
                mark = str(position.mark)
                if self._marks.get(place) == mark:
                    continue
                self._marks[place] = mark
                row = {"symbol": symbol} | self._rows.marked(position, at)
                row |= {"changeReason": "markPriceChange"}
                self._position(account.key, symbol, "position.change", row)

    def configured(self, key: str, topic: str, data: Row, at: int) -> None:
        """A margin mode or a leverage was set."""
        self._tell(key, topic, "user.config", data)

    # Orders ----------------------------------------------------------------------------------

    def _order(self, order: Order, cause: str, at: int) -> None:
        match cause:
            case "new":
                self._unopened[order.id] = order
                self._order_row(order, "received", at)
            case "amended":
                self._open(order, at)
                self._order_row(order, "update", at)
            case _:
                if order.reason not in NEVER_OPEN:
                    self._open(order, at)
                self._unopened.pop(order.id, None)
                self._order_row(order, "canceled", at)

    def _open_all(self) -> None:
        """Money and positions are told when matching is over: what is left of an order rests."""
        for order in list(self._unopened.values()):
            self._open(order, order.updated_at)

    def _open(self, order: Order, at: int) -> None:
        """The order came to rest in the book; told once."""
        if self._unopened.pop(order.id, None) is not None and order.open:
            self._order_row(order, "open", at)

    def _filled(self, fill: Fill, order: Order) -> None:
        if order.id in self._unopened:
            if fill.maker:
                self._open(self._unopened[order.id], fill.at)
            else:
                self._unopened[order.id] = order
        self._order_row(order, "match", fill.at, fill)
        if not order.open:
            self._unopened.pop(order.id, None)
            self._order_row(order, "filled", fill.at)

    def _order_row(self, order: Order, word: str, at: int, fill: Fill | None = None) -> None:
        sheet = self._facts.by_id[order.instrument]
        if sheet.spot:
            self._spot_order(sheet, order, word, at, fill)
        elif word != "received":
            row = self._futures_order(sheet, order, word, at, fill)
            topic = "/contractMarket/tradeOrders"
            for name in (topic, f"{topic}:{sheet.symbol}"):
                self._tell(order.account, name, "symbolOrderChange", row)

    def _spot_order(
        self, sheet: Sheet, order: Order, word: str, at: int, fill: Fill | None
    ) -> None:
        row: Row = {
            "symbol": sheet.symbol,
            "orderType": kind_of(order),
            "side": word_of(order.side),
            "orderId": names.spot_order(order.id),
            "clientOid": client_of(order),
            "type": word,
            "status": _status(word),
            "orderTime": millis(order.created_at),
            "originSize": sheet.size(order.lots),
        }
        if order.quote_amount is not None:
            row |= {"originFunds": amount(order.quote_amount), "originSize": "0"}
        if kind_of(order) == "limit":
            row["price"] = sheet.price(order.ticks)
        if word != "received":
            row |= _progress(sheet, order, word)
        if fill is not None:
            row |= _match(sheet, fill, names.trade(True, fill.trade_id))
        row["ts"] = at
        self._tell(order.account, "/spotMarket/tradeOrdersV2", "orderChange", row)
        if word != "received":  # the first version of the topic does not know it
            old = row | {"size": sheet.size(order.lots)}
            self._tell(order.account, "/spotMarket/tradeOrders", "orderChange", old)

    def _futures_order(
        self, sheet: Sheet, order: Order, word: str, at: int, fill: Fill | None
    ) -> Row:
        row: Row = {
            "symbol": sheet.symbol,
            "orderType": kind_of(order),
            "side": word_of(order.side),
            **_progress(sheet, order, word),
            "orderId": names.futures_order(order.id),
            "positionSide": POSITION_SIDES[order.position_index],
            "marginMode": self._rows.mode(order),
            "type": word,
            "orderTime": order.created_at,
            "size": sheet.size(order.lots),
            "price": sheet.price(order.ticks) if kind_of(order) == "limit" else "0",
            "clientOid": client_of(order),
            "tradeType": trade_type(order.reason),
            "status": _status(word),
            "ts": at,
        }
        if fill is not None:
            row |= _match(sheet, fill, names.trade(False, fill.trade_id))
        return row

    # Money and positions ---------------------------------------------------------------------

    def _context(self, order: Order, fill: Fill | None) -> Row:
        sheet = self._facts.by_id[order.instrument]
        row = {"symbol": sheet.symbol, "orderId": names.order(sheet.spot, order.id)}
        if fill is not None:
            row["tradeId"] = str(names.trade(sheet.spot, fill.trade_id))
        return row

    def _balance(self, changed: BalanceChanged, context: Row, at: int) -> None:
        balance = changed.balance
        if balance.wallet != self._facts.wallet(SPOT):
            self._wallet(balance.account, balance.asset, at)
            return
        place = (balance.account, balance.wallet, balance.asset)
        free, held = self._shown.get(place, (ZERO, ZERO))
        self._shown[place] = (balance.free, balance.locked)
        self._messages += 1
        owner = self._exchange.account(balance.account)
        data: Row = {
            "accountId": names.wallet_account(owner.uid, balance.asset),
            "currency": balance.asset,
            "total": amount(balance.total, 14),
            "available": amount(balance.free, 14),
            "hold": amount(balance.locked, 14),
            "availableChange": amount(balance.free - free, 14),
            "holdChange": amount(balance.locked - held, 14),
            "relationContext": context if changed.cause in ("fill", "order") else {},
            "relationEvent": f"trade.{RELATIONS.get(changed.cause, 'other')}",
            "relationEventId": str(self._messages),
            "time": str(millis(at)),
        }
        self._tell(balance.account, "/account/balance", "account.balance", data)

    def _wallet(self, key: str, asset: Asset, at: int) -> None:
        """`version` orders these messages."""
        if not self._sessions.owned("/contractAccount/wallet", key):
            return
        balance = self._exchange.balance(key, self._facts.wallet(FUTURES), asset)
        sums = {"cross": [ZERO, ZERO], "isolated": [ZERO, ZERO]}  # margin, unrealised
        for position in self._exchange.positions(key, FUTURES):
            if self._facts.by_id[position.instrument].instrument.settle != asset:
                continue
            part = sums[position.margin_mode]
            isolated = position.margin_mode == "isolated"
            margin = position.margin if isolated else position.initial_margin
            part[0] += margin if position.lots else ZERO
            part[1] += position.unrealised
        self._messages += 1
        data: Row = {
            "currency": asset,
            "walletBalance": amount(balance.total),
            "availableBalance": amount(balance.available),
            "holdBalance": amount(balance.locked),
            "equity": amount(balance.equity),
            "totalCrossMargin": amount(balance.total - sums["isolated"][0]),
            "crossPosMargin": amount(sums["cross"][0]),
            "crossOrderMargin": amount(balance.order_margin),
            "crossUnPnl": amount(sums["cross"][1]),
            "isolatedPosMargin": amount(sums["isolated"][0]),
            "isolatedOrderMargin": "0",
            "isolatedFundingFeeMargin": "0",
            "isolatedUnPnl": amount(sums["isolated"][1]),
            "version": str(self._messages),
            "timestamp": str(millis(at)),
        }
        self._tell(key, "/contractAccount/wallet", "walletBalance.change", data)

    def _followed(self, key: str, symbol: str) -> bool:
        return bool(
            self._sessions.owned("/contract/positionAll", key)
            or self._sessions.owned(f"/contract/position:{symbol}", key)
        )

    def _position(self, key: str, symbol: str, subject: str, data: Row) -> None:
        """Each reader hears the topic that it asked for.

        A sample of the venue's SDK shows the topic of the symbol to readers of all positions; the
        code of the same SDK would drop such a message, so this follows the code.
        """
        for topic in (f"/contract/position:{symbol}", "/contract/positionAll"):
            self._tell(key, topic, subject, data)

    def _tell(self, key: str, topic: str, subject: str, data: Row) -> None:
        if not self._sessions.owned(topic, key):
            return
        message = {
            "topic": topic,
            "type": "message",
            "subject": subject,
            "userId": names.user(self._exchange.account(key).uid),
            "channelType": "private",
            "data": data,
        }
        self._sessions.tell(topic, key, encoded(message))


def _status(word: str) -> str:
    return {"received": "new", "match": "match", "filled": "done", "canceled": "done"}.get(
        word, "open"
    )


def _progress(sheet: Sheet, order: Order, word: str) -> Row:
    left = order.lots - order.filled_lots
    ended = word == "canceled"
    return {
        "filledSize": sheet.size(order.filled_lots),
        "remainSize": "0" if ended else sheet.size(left),
        "canceledSize": sheet.size(left) if ended else "0",
    }


def _match(sheet: Sheet, fill: Fill, trade_id: int) -> Row:
    price = fill.price or sheet.instrument.price(fill.ticks)
    role = "maker" if fill.maker else "taker"
    return {
        "matchPrice": amount(price),
        "matchSize": sheet.size(fill.lots),
        "tradeId": str(trade_id),
        "liquidity": role,
        "feeType": f"{role}Fee",
    }
