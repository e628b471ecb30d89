"""The private socket: login and topics; orders, fills, positions and wallets as they move."""

from collections.abc import Callable, Sequence

import msgspec

from oneprice.model.units import Asset
from oneprice.twin.contract import (
    AccountSpec,
    BalanceChanged,
    Clock,
    Exchange,
    Filled,
    FundingSettled,
    Order,
    OrderChanged,
    Output,
    PositionChanged,
)
from oneprice.twin.dialects.bybit.account_rows import AccountRows
from oneprice.twin.dialects.bybit.auth import check_login
from oneprice.twin.dialects.bybit.closed import ClosedProfits
from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure, Row, millis
from oneprice.twin.dialects.bybit.facts import Sheets
from oneprice.twin.dialects.bybit.fields import CATEGORIES
from oneprice.twin.dialects.bybit.order_rows import OrderRows
from oneprice.twin.dialects.bybit.sessions import Session, Sessions

KIND = "private"
WHOLE = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
SPLIT = ("order", "execution", "execution.fast", "position")
ARMED = ("dcp.future", "dcp.spot", "dcp.option")


class _Batch:
    """What one account gets to see of one run of outputs, in the venue's usual order."""

    def __init__(self, account: AccountSpec) -> None:
        self.account = account
        self.fast: list[Row] = []
        self.orders: dict[int, Order] = {}
        self.executions: list[Row] = []
        self.positions: dict[tuple[str, int], None] = {}
        self.coins: dict[Asset, None] = {}


class PrivateStreams:
    """Everything behind /v5/private; needs a login before topics."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        rows: tuple[OrderRows, AccountRows, ClosedProfits],
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._order_rows, self._account_rows, self._closed = rows
        self._sessions = sessions
        self._clock = clock
        self._messages = 0

    # Requests --------------------------------------------------------------------------------

    def hear(
        self, session: Session, message: Row, find: Callable[[str], AccountSpec | None]
    ) -> None:
        """One JSON message of a client."""
        match message.get("op"):
            case "ping":
                session.answer(self._pong(session, message))
            case "auth":
                self._login(session, message, find)
            case "subscribe" | "unsubscribe":
                self._choose(session, message)
            case _:
                session.answer(_verdict(session, message, "error:invalid op"))

    def _pong(self, session: Session, message: Row) -> Row:
        reply: Row = {"req_id": message["req_id"]} if "req_id" in message else {}
        now = str(millis(self._clock()))
        return reply | {"op": "pong", "args": [now], "conn_id": session.conn_id}

    def _login(
        self, session: Session, message: Row, find: Callable[[str], AccountSpec | None]
    ) -> None:
        try:
            account = check_login(message.get("args"), find, millis(self._clock()))
        except Failure as failure:
            reply = _verdict(session, message, failure.text)
            if failure.code != BAD_PARAMETER:
                reply |= {"retCode": failure.code, "retMsg": failure.text}
            session.answer(reply)
            return
        session.key = account.key
        session.answer(_verdict(session, message, ""))

    def _choose(self, session: Session, message: Row) -> None:
        topics = message.get("args")
        reason = self._objection(session, message, topics)
        session.answer(_verdict(session, message, reason))
        if reason or not isinstance(topics, list):
            return
        for topic in topics:
            if message["op"] == "subscribe":
                self._sessions.subscribe(session, topic)
            else:
                self._sessions.unsubscribe(session, topic)

    def _objection(self, session: Session, message: Row, topics: object) -> str:
        if not session.key:
            return "Request not authorized"
        if not isinstance(topics, list) or not topics:
            return "Params Error"
        whole = [one for one in topics if one in WHOLE]
        split = [one for one in topics if _is_split(one)]
        if len(whole) + len(split) + sum(one in ARMED for one in topics) != len(topics):
            return "Params Error"
        if whole and any(one.rpartition(".")[0] in whole for one in split):
            return "Params Error"  # both forms of one topic cannot share a request
        if message["op"] == "subscribe":
            for topic in topics:
                if topic in session.topics:
                    return f"error:already subscribed,topic:{topic}"
        return ""

    # Publishing ------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tell every account what happened to it: fast fills, orders, fills, position, wallet."""
        batches: dict[str, _Batch] = {}
        for output in outputs:
            account = _owner(output)
            if not account:
                continue
            batch = batches.get(account)
            if batch is None:
                batch = batches[account] = _Batch(self._exchange.account(account))
            self._note(batch, output)
        for batch in batches.values():
            self._send(batch, at)

    def _note(self, batch: _Batch, output: Output) -> None:
        match output:
            case Filled(fill=fill, order=order):
                sheet = self._sheets.by_id[fill.instrument]
                if not sheet.spot:
                    self._closed.fill(fill, sheet.instrument, order.position_index)
                batch.fast.append(self._order_rows.execution_fast(fill))
                batch.orders[order.id] = order
                batch.executions.append(self._order_rows.execution_push(fill, order))
            case OrderChanged(order=order):
                batch.orders[order.id] = order
                sheet = self._sheets.by_id[order.instrument]
                if not sheet.spot:  # every order event comes with a position message
                    batch.positions[order.instrument, order.position_index] = None
                    batch.coins[sheet.instrument.settle] = None
            case PositionChanged(position=position):
                batch.positions[position.instrument, position.position_index] = None
            case BalanceChanged(balance=balance):
                batch.coins[balance.asset] = None
            case FundingSettled():
                sheet = self._sheets.by_id[output.instrument]
                row = self._order_rows.funding(output, batch.account.uid, output.id)
                batch.executions.append({"category": sheet.category} | row)
            case _:
                pass

    def _send(self, batch: _Batch, at: int) -> None:
        key = batch.account.key
        self._push(batch, "execution.fast", batch.fast, at)
        orders = [
            self._order_rows.order_push(order, self._closed.of_order(key, order.id))
            for order in batch.orders.values()
        ]
        for row in orders:
            self._push(batch, "order", [row], at)
        self._push(batch, "execution", batch.executions, at)
        for instrument, index in batch.positions:
            position = self._exchange.position(key, instrument, index)
            self._push(batch, "position", [self._account_rows.position_push(position)], at)
        if batch.coins and self._reads(key, "wallet"):
            wallet = self._account_rows.wallet(batch.account, list(batch.coins))
            self._push(batch, "wallet", [wallet], at)

    def _reads(self, key: str, topic: str) -> bool:
        return any(one.key == key for one in self._sessions.readers(KIND, topic))

    def _push(self, batch: _Batch, topic: str, rows: list[Row], at: int) -> None:
        """To the readers of the whole topic, and per category to those of the split ones."""
        if not rows:
            return
        key, uid = batch.account.key, batch.account.uid
        self._push_to(key, topic, self._frame(topic, rows, uid, at))
        if topic not in SPLIT:
            return
        for category in CATEGORIES:
            part = [row for row in rows if row["category"] == category]
            name = f"{topic}.{category}"
            if part and self._reads(key, name):
                self._push_to(key, name, self._frame(name, part, uid, at))

    def _push_to(self, key: str, topic: str, frame: bytes) -> None:
        for session in self._sessions.readers(KIND, topic):
            if session.key == key:
                self._sessions.hand(session, topic, frame)

    def _frame(self, topic: str, rows: list[Row], uid: int, at: int) -> bytes:
        self._messages += 1
        head: Row = {"topic": topic}
        if not topic.startswith("execution.fast"):
            head["id"] = f"{uid}_{rows[0].get('symbol', topic)}_{self._messages}"
        return msgspec.json.encode(head | {"creationTime": millis(at), "data": rows})


def _is_split(topic: object) -> bool:
    if not isinstance(topic, str):
        return False
    name, _, category = topic.rpartition(".")
    return name in SPLIT and category in (*CATEGORIES, "option")


def _owner(output: Output) -> str:
    match output:
        case Filled(fill=fill):
            return fill.account
        case OrderChanged(order=order):
            return order.account
        case PositionChanged(position=position):
            return position.account
        case BalanceChanged(balance=balance):
            return balance.account
        case FundingSettled(account=account):
            return account
        case _:
            return ""


def _verdict(session: Session, message: Row, reason: str) -> Row:
    reply: Row = {
        "success": not reason,
        "ret_msg": reason,
        "op": message.get("op", ""),
        "conn_id": session.conn_id,
    }
    if "req_id" in message:
        reply["req_id"] = message["req_id"]
    return reply
