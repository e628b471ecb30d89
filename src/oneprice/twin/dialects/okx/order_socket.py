"""Order operations on the private socket: keyed by `instIdCode`, answered by `id`."""

from oneprice.twin.contract import Clock, Refusal
from oneprice.twin.dialects.okx.desk import REQUEST_ID, not_logged_in
from oneprice.twin.dialects.okx.envelope import Answer, Failure, Row, times
from oneprice.twin.dialects.okx.fields import Fields
from oneprice.twin.dialects.okx.order_entry import OrderEntry
from oneprice.twin.dialects.okx.refusals import failure
from oneprice.twin.dialects.okx.rest import check_expiry
from oneprice.twin.dialects.okx.sessions import Session
from oneprice.twin.dialects.okx.trade_rest import TradeRest

ACTIONS = {
    "order": "place",
    "batch-orders": "place",
    "cancel-order": "cancel",
    "batch-cancel-orders": "cancel",
    "amend-order": "amend",
    "batch-amend-orders": "amend",
}
MASS_CANCEL = "mass-cancel"  # of options only; on the business URL


class OrderSocket:
    """Carries operations out with the same code as REST, from the same allowances."""

    def __init__(self, trade: TradeRest, entry: OrderEntry, clock: Clock) -> None:
        self._trade = trade
        self._entry = entry
        self._clock = clock

    def hear(self, session: Session, message: Row) -> Row:
        """One operation of a client; gives the answer."""
        at = self._clock()
        result: Answer | Failure
        try:
            result = self._serve(session, message, at)
        except Failure as failed:
            result = failed
        except Refusal as refusal:
            result = failure(refusal)
        reply: Row = {
            "id": str(message.get("id", "")),
            "op": message.get("op", ""),
            "code": result.code,
            "msg": result.text if isinstance(result, Failure) else "",
            "data": [] if isinstance(result, Failure) else result.data,
        }
        return reply | times(at, self._clock())

    def _serve(self, session: Session, message: Row, at: int) -> Answer:
        account = session.account
        if account is None:
            raise not_logged_in()
        if not REQUEST_ID.fullmatch(str(message.get("id", ""))):
            raise Failure("60012", "Illegal request: id")
        items = message.get("args")
        if not isinstance(items, list) or not items:
            raise Failure("60013", "Invalid args")
        if not all(isinstance(one, dict) for one in items):
            raise Failure("60013", "Invalid args")
        if account.read_only:
            raise Failure("50120", "This API key doesn't have permission to use this function")
        action = ACTIONS[message["op"]]
        if action != "cancel":
            check_expiry(message.get("expTime"), at)
        if message["op"] in ("order", "cancel-order", "amend-order"):
            items = items[:1]
        fields = [Fields(one) for one in items]
        return self._trade.operate(account, action, fields, self._entry.by_code, at)


def broken(message: Row, at: int) -> Row:
    """The answer of a service in trouble: the outcome of the operation is unknown."""
    return _refusal(message, Failure("50026", "System error. Try again later."), at)


def no_mass_cancel(message: Row, at: int) -> Row:
    """Mass cancel is for market makers of options, whom the twin does not have."""
    failed = Failure("51010", "Request unsupported under current account mode.")
    return _refusal(message, failed, at)


def _refusal(message: Row, failed: Failure, at: int) -> Row:
    reply: Row = {
        "id": str(message.get("id", "")),
        "op": message.get("op", ""),
        "code": failed.code,
        "msg": failed.text,
        "data": [],
    }
    return reply | times(at, at)
