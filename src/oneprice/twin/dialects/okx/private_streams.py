"""Private channels: orders, fills, positions, account, balances with positions."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from oneprice.model.units import MILLI, SECOND, ZERO, Asset
from oneprice.twin.contract import (
    BalanceChanged,
    Exchange,
    Fill,
    Filled,
    FundingSettled,
    Kind,
    Order,
    OrderChanged,
    Output,
    Position,
    PositionChanged,
    State,
)
from oneprice.twin.dialects.okx.account_rows import AccountRows
from oneprice.twin.dialects.okx.desk import not_logged_in, wrong_topic
from oneprice.twin.dialects.okx.envelope import Failure, Row, stamp
from oneprice.twin.dialects.okx.facts import INST_TYPES, Sheets
from oneprice.twin.dialects.okx.notes import Notes
from oneprice.twin.dialects.okx.order_rows import OrderRows
from oneprice.twin.dialects.okx.sessions import Session, Sessions, Topic

KIND = "private"
BY_TYPE = ("orders", "positions", "liquidation-warning")
COUNTED = ("orders", "account", "positions", "balance_and_position", "liquidation-warning",
           "account-greeks")
CHANNELS = (*COUNTED, "fills")
CONNECTIONS_MOST = 30  # per channel and account
VIP_OF_FILLS = 4
WINDOW_NS = 50 * MILLI  # changes of balances and positions are told together
REFRESH_NS = 5 * SECOND
EVENTS = {
    "fill": "filled", "order": "filled", "funding": "funding_fee", "deposit": "transferred",
    "transfer": "transferred", "leverage": "set_leverage", "margin": "adjust_margin",
    "adl": "adl", "delivery": "delivered", "liquidation": "filled", "insurance": "claw_back",
    "interest": "interest_deduction", "rebate": "transferred", "bonus": "transferred",
    "correction": "transferred",
}  # fmt: skip


class _Dirty:
    """What changed for one account since it was last told."""

    def __init__(self, at: int) -> None:
        self.since = at
        self.coins: dict[Asset, None] = {}
        self.positions: dict[tuple[str, int], None] = {}


class PrivateStreams:
    """Everything that an account may see of itself on /ws/v5/private."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        rows: tuple[OrderRows, AccountRows, Notes],
        sessions: Sessions,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._order_rows, self._account_rows, self._notes = rows
        self._sessions = sessions
        self._dirty: dict[str, _Dirty] = {}
        self._profits: dict[tuple[str, int], Decimal] = {}
        self._trades: dict[tuple[str, str], str] = {}  # latest trade of account and instrument
        self.vip = 0
        self.doubled = 0  # so many order rows come twice, the second with a later uTime

    # Subscriptions -----------------------------------------------------------------------------

    def objects(self, session: Session, topic: Topic) -> None:
        """Failure where a session may not follow a topic."""
        if session.account is None:
            raise not_logged_in()
        if topic.channel not in CHANNELS:
            raise wrong_topic(topic)
        kinds = (*INST_TYPES.values(), "ANY", "MARGIN", "OPTION", "EVENTS")
        if topic.channel in BY_TYPE and topic.get("instType") not in kinds:
            raise wrong_topic(topic)
        if "instId" in dict(topic.narrows) and topic.get("instId") not in self._sheets.by_inst:
            raise wrong_topic(topic)
        if topic.channel == "fills" and self.vip < VIP_OF_FILLS:
            raise Failure(
                "64003",
                "Your trading fee tier doesn't meet the requirement to access this channel",
            )

    def greets(self, session: Session, topic: Topic, at: int) -> None:
        """Connection count, then the snapshot of channels that have one."""
        if topic.channel in COUNTED:
            count = self._sessions.count(session.key, topic.channel)
            event = "channel-conn-count"
            if count > CONNECTIONS_MOST:
                event, count = "channel-conn-count-error", CONNECTIONS_MOST
                self._sessions.unsubscribe(session, topic)
            session.answer(
                {
                    "event": event,
                    "channel": topic.channel,
                    "connCount": str(count),
                    "connId": session.conn_id,
                }
            )
        if topic not in session.topics or session.account is None:
            return
        session.refreshed_at[topic] = at
        match topic.channel:
            case "account":
                wanted = [topic.get("ccy")] if topic.get("ccy") else None
                row = self._account_rows.balance(session.account, wanted)
                self._paged(session, topic, "snapshot", [row], at)
            case "positions":
                rows = self._position_rows(session.key, topic, at)
                self._paged(session, topic, "snapshot", rows, at)
            case "balance_and_position":
                self._send(session, topic, [self._whole(session.key, "snapshot", at)], at)

    # Publishing --------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Orders and fills at once and one by one; what moved with them right behind."""
        hidden = _born_crossing(outputs)
        moved: dict[str, tuple[str, dict[Asset, None], dict[tuple[str, int], None]]] = {}
        for output in outputs:
            match output:
                case OrderChanged(order=order, cause=cause):
                    if not (cause == "new" and order.id in hidden):
                        self._order(order, None, cause, at)
                case Filled(fill=fill, order=order):
                    self._filled(fill, order, at)
                case PositionChanged(position=position, cause=cause):
                    place = (position.instrument, position.position_index)
                    self._note(position.account, at).positions[place] = None
                    _moved(moved, position.account, cause)[2][place] = None
                case BalanceChanged(balance=balance, cause=cause):
                    self._note(balance.account, at).coins[balance.asset] = None
                    if cause != "order":  # locking money is not a change of cash
                        _moved(moved, balance.account, cause)[1][balance.asset] = None
                case FundingSettled(account=account, asset=asset):
                    _moved(moved, account, "funding")[1][asset] = None
                case _:
                    pass
        for key, (event, coins, places) in moved.items():
            row = self._moves(key, event, (list(coins), list(places)), at)
            for session, topic in self._readers(key, "balance_and_position"):
                self._send(session, topic, [row], at)

    def beat(self, at: int) -> None:
        """Tell what changed within the last window, and refresh what stood still for long."""
        for key, dirty in list(self._dirty.items()):
            if at - dirty.since >= WINDOW_NS:
                del self._dirty[key]
                self._tell(key, dirty, at)
        for session in self._sessions:
            for topic in list(session.topics):
                if topic.channel in ("account", "positions"):
                    self._refresh(session, topic, at)

    # Orders and fills --------------------------------------------------------------------------

    def _filled(self, fill: Fill, order: Order, at: int) -> None:
        key = (fill.account, fill.order_id)
        self._profits[key] = self._profits.get(key, ZERO) + fill.realised
        self._trades[fill.account, fill.instrument] = str(fill.trade_id)
        spot = self._sheets.by_id[fill.instrument].spot
        last_of_market = spot and order.kind is Kind.MARKET and order.state is State.FILLED
        if last_of_market:
            # A spot market order ends with a push of its own, without a fill (section 12).
            self._order(msgspec.structs.replace(order, state=State.PARTIAL), fill, "fill", at)
            self._order(order, None, "fill", at)
        else:
            self._order(order, fill, "fill", at)
        sheet = self._sheets.by_id[fill.instrument]
        for session, topic in self._readers(fill.account, "fills"):
            if topic.get("instId") in ("", sheet.inst_id):
                self._send(session, topic, [self._order_rows.fast_fill(fill)], at)

    def _order(self, order: Order, fill: Fill | None, cause: str, at: int) -> None:
        sheet = self._sheets.by_id[order.instrument]
        amendment = self._notes.told(order, cause)
        readers = [
            (session, topic)
            for session, topic in self._readers(order.account, "orders")
            if topic.get("instType") in ("ANY", sheet.inst_type)
            and topic.get("instFamily") in ("", sheet.family)
            and topic.get("instId") in ("", sheet.inst_id)
        ]
        if not readers:
            return
        profit = self._profits.get((order.account, order.id), ZERO)
        row = self._order_rows.push(order, fill, profit, amendment)
        rows = [row]
        if self.doubled:
            self.doubled -= 1
            rows.append(row | {"uTime": stamp(order.updated_at + 3 * MILLI)})
        for session, topic in readers:
            for one in rows:
                self._send(session, topic, [one], at)

    # Account and positions -----------------------------------------------------------------------

    def _tell(self, key: str, dirty: _Dirty, at: int) -> None:
        account = self._exchange.account(key)
        for session, topic in self._readers(key, "account"):
            coins = [one for one in dirty.coins if topic.get("ccy") in ("", one)]
            if coins:
                row = self._account_rows.balance(account, coins)
                self._paged(session, topic, "event_update", [row], at)
        for session, topic in self._readers(key, "positions"):
            rows = [
                self._account_rows.position(position, self.trade_of(position), at)
                for place in dirty.positions
                if self._fits(topic, (position := self._exchange.position(key, *place)))
            ]
            if rows:
                self._paged(session, topic, "event_update", rows, at)

    def _refresh(self, session: Session, topic: Topic, at: int) -> None:
        """Unless the client declined it by `updateInterval` 0."""
        period = _interval(session.topics[topic])
        if not period or at - session.refreshed_at.get(topic, at) < period:
            return
        session.refreshed_at[topic] = at
        if topic.channel == "positions":
            rows = self._position_rows(session.key, topic, at)
        elif session.account is not None:
            wanted = [topic.get("ccy")] if topic.get("ccy") else None
            rows = [self._account_rows.balance(session.account, wanted)]
        if rows:
            self._paged(session, topic, "snapshot", rows, at)

    def _position_rows(self, key: str, topic: Topic, at: int) -> list[Row]:
        return [
            self._account_rows.position(one, self.trade_of(one), at)
            for one in self._account_rows.positions(key)
            if self._fits(topic, one)
        ]

    def _fits(self, topic: Topic, position: Position) -> bool:
        sheet = self._sheets.by_id[position.instrument]
        return (
            topic.get("instType") in ("ANY", sheet.inst_type)
            and topic.get("instFamily") in ("", sheet.family)
            and topic.get("instId") in ("", sheet.inst_id)
        )

    def trade_of(self, position: Position) -> str:
        return self._trades.get((position.account, position.instrument), "")

    def _whole(self, key: str, event: str, at: int) -> Row:
        held = self._exchange.balances(key, self._account_rows.wallet)
        places = [
            (one.instrument, one.position_index) for one in self._account_rows.positions(key)
        ]
        return self._moves(key, event, ([one.asset for one in held], places), at)

    def _moves(
        self,
        key: str,
        event: str,
        what: tuple[list[Asset], list[tuple[str, int]]],
        at: int,
    ) -> Row:
        wallet = self._account_rows.wallet
        balances = [self._exchange.balance(key, wallet, coin) for coin in what[0]]
        positions = [self._exchange.position(key, *place) for place in what[1]]
        trades = [
            {"instId": self._sheets.by_id[one.instrument].inst_id, "tradeId": self.trade_of(one)}
            for one in positions
            if event == "filled" and self.trade_of(one)
        ]
        return {
            "pTime": stamp(at),
            "eventType": event,
            "balData": [self._account_rows.cash(one) for one in balances],
            "posData": [
                self._account_rows.brief_position(one, self.trade_of(one)) for one in positions
            ],
            "trades": trades,
        }

    # Sending -----------------------------------------------------------------------------------

    def _note(self, key: str, at: int) -> _Dirty:
        return self._dirty.setdefault(key, _Dirty(at))

    def _readers(self, key: str, channel: str) -> list[tuple[Session, Topic]]:
        return [
            (session, topic)
            for session in self._sessions
            if session.kind == KIND and session.key == key
            for topic in session.topics
            if topic.channel == channel
        ]

    def _send(self, session: Session, topic: Topic, rows: list[Row], at: int) -> None:
        message = {"arg": _arg(session, topic), "data": rows}
        self._sessions.hand(session, topic.channel, msgspec.json.encode(message), at)

    def _paged(
        self, session: Session, topic: Topic, event: str, rows: list[Row], at: int
    ) -> None:
        message = {
            "arg": _arg(session, topic),
            "eventType": event,
            "curPage": 1,
            "lastPage": True,
            "data": rows,
        }
        self._sessions.hand(session, topic.channel, msgspec.json.encode(message), at)


def _arg(session: Session, topic: Topic) -> Row:
    """Private pushes carry the user, too (section 4.2)."""
    return topic.arg | {"uid": str(session.account.uid if session.account else "")}


def _interval(argument: Row) -> int:
    """Nanoseconds of `extraParams.updateInterval` (ms, in JSON in text); 0: never."""
    text = argument.get("extraParams")
    if not isinstance(text, str):
        return REFRESH_NS
    try:
        value = msgspec.json.decode(text).get("updateInterval", "")
    except (msgspec.DecodeError, RecursionError, AttributeError):
        return REFRESH_NS
    return int(value) * MILLI if str(value) in ("0", "2000", "3000", "4000") else REFRESH_NS


def _born_crossing(outputs: Sequence[Output]) -> set[int]:
    """Post-only orders that crossed: since 2026-08 their `live` push is left out."""
    return {
        output.order.id
        for output in outputs
        if isinstance(output, OrderChanged) and output.order.reason == "post_only"
    }


def _moved(
    moved: dict[str, tuple[str, dict[Asset, None], dict[tuple[str, int], None]]],
    key: str,
    cause: str,
) -> tuple[str, dict[Asset, None], dict[tuple[str, int], None]]:
    return moved.setdefault(key, (EVENTS.get(cause, "filled"), {}, {}))
