"""The WebSocket APIs: requests with the REST parameters, spot user data on the same socket."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from oneprice.model.units import MILLI
from oneprice.twin.contract import Clock
from oneprice.twin.dialects.binance import calls, denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied, Page
from oneprice.twin.dialects.binance.door import Door
from oneprice.twin.dialects.binance.hub import ListenKeys
from oneprice.twin.dialects.binance.sockets import Socket
from oneprice.twin.dialects.binance.spot_events import Mail
from oneprice.twin.dialects.binance.table import Endpoint, Right
from oneprice.twin.faults import Faults
from oneprice.twin.link import message_in

_SUBSCRIPTIONS_MAX = 65_535


class Session:
    """One WebSocket API connection and its user data subscriptions."""

    def __init__(self, socket: Socket, product: str, *, limits_shown: bool) -> None:
        self.socket = socket
        self.product = product
        self.limits_shown = limits_shown
        self.subscriptions: dict[int, str] = {}
        self.next_subscription = 0


class WebSocketApi:
    """Answers requests of both products' sockets; futures user data never comes this way."""

    def __init__(
        self,
        door: Door,
        clock: Clock,
        faults: Faults,
        methods: dict[str, dict[str, Endpoint]],
        keys: ListenKeys,
    ) -> None:
        self.door = door
        self.clock = clock
        self.faults = faults
        self.methods = methods
        self.keys = keys
        self.sessions: dict[int, Session] = {}

    async def answer(self, session: Session, text: str) -> None:
        """Handle one request and queue its response, with the faults of order requests."""
        message = message_in(text)
        if message is None or not isinstance(message.get("method"), str):
            refused = Denied(-1000, "Invalid JSON or missing method in request.")
            session.socket.send(_frame(None, refused, None))
            return
        number, method = message.get("id"), str(message["method"])
        given = message.get("params") or {}
        if not isinstance(given, dict):
            refused = Denied(-1000, "Invalid request: params must be an object.")
            session.socket.send(_frame(number, refused, None))
            return
        params = {str(name): calls.wire_text(value) for name, value in given.items()}
        call = Call(
            product=session.product,
            name=method,
            params=params,
            at=self.clock(),
            key=params.get("apiKey", ""),
            via="ws",
        )
        fate = self.faults.request(method) if method.startswith("order.") else None
        if fate is not None and fate.delay_ms:
            await asyncio.sleep(fate.delay_ms / 1_000)
        outcome = fate.outcome if fate is not None else "normal"
        if outcome == "error_before":
            result: Any = denials.internal_error()
        else:
            result = self._result(session, call, calls.ws_payload(given))
        lost = "" if isinstance(result, Denied) else self.door.fate(session.product, method)
        if outcome == "lost" or lost == "silent":
            return
        if outcome == "error_after" or lost == "unknown":
            result = denials.unknown_execution(session.product)
        session.socket.send(_frame(number, result, self._limits(session, call)))

    def _limits(self, session: Session, call: Call) -> list[dict[str, object]] | None:
        shown = call.text("returnRateLimits", "true" if session.limits_shown else "false")
        if shown != "true":
            return None
        limits = self.door.limits[session.product]
        return limits.counted(session.socket.address, call.account, call.at)

    def _result(self, session: Session, call: Call, payload: str) -> Any:
        """The result, or the refusal as a value."""
        address = session.socket.address
        limits = self.door.limits[session.product]
        try:
            special = self._special(session, call, payload)
            if special is not None:
                return special
            endpoint = self.methods[session.product].get(call.name)
            if endpoint is None:
                raise Denied(-1020, "This operation is not supported.")
            limits.charge(address, endpoint.cost(call), call.at)
            self.door.admit(endpoint.right, call, address, payload)
            result = self.door.perform(endpoint, call)
            if endpoint.free:
                limits.forgive(address, endpoint.cost(call), call.at)
            return result
        except Denied as denied:
            return denied
        except Page as page:
            return Denied(-1020, "This operation is not supported.", status=page.status)

    # Sessions and user data --------------------------------------------------------------

    def _special(self, session: Session, call: Call, payload: str) -> Any:
        """Methods without a REST twin; None where the method is not one of them."""
        if call.name.startswith("session."):
            return self._session(session, call)
        if not call.name.startswith("userDataStream."):
            return None
        address = session.socket.address
        self.door.limits[session.product].charge(address, 2, call.at)
        if session.product == "usdm":
            self.door.admit(Right.KEY, call, address, payload)
            return self._listen_key(call)
        match call.name.removeprefix("userDataStream."):
            case "subscribe.signature":
                self.door.admit(Right.READ, call, address, payload)
                return self._subscribe(session, call.account)
            case "unsubscribe":
                return self._unsubscribe(session, call)
            case "subscribe":
                raise denials.key_unknown()  # only after session.logon
        raise Denied(-1020, "This operation is not supported.")

    def _session(self, session: Session, call: Call) -> Any:
        match call.name:
            case "session.logon":
                raise Denied(-4056, "HMAC_SHA256 API key is not supported.")
            case "session.status" | "session.logout":
                return {
                    "apiKey": None,
                    "authorizedSince": None,
                    "connectedSince": session.socket.opened // MILLI,
                    "returnRateLimits": session.limits_shown,
                    "serverTime": call.now_ms,
                    "userDataStream": bool(session.subscriptions),
                }
            case "session.subscriptions":
                return [{"subscriptionId": number} for number in session.subscriptions]
        raise Denied(-1020, "This operation is not supported.")

    def _subscribe(self, session: Session, account: str) -> dict[str, int]:
        if account in session.subscriptions.values():
            raise Denied(-2035, "User data stream subscription is already active.")
        if session.next_subscription > _SUBSCRIPTIONS_MAX:
            raise Denied(-2042, "Subscription id exhausted.")
        number = session.next_subscription
        session.next_subscription += 1
        session.subscriptions[number] = account
        return {"subscriptionId": number}

    def _unsubscribe(self, session: Session, call: Call) -> dict[str, Any]:
        if not call.text("subscriptionId"):
            session.subscriptions.clear()
            return {}
        if session.subscriptions.pop(call.integer("subscriptionId", -1), None) is None:
            raise Denied(-2036, "User data stream subscription is not active.")
        return {}

    def _listen_key(self, call: Call) -> dict[str, str]:
        match call.name:
            case "userDataStream.start":
                return {"listenKey": self.keys.issue(call.account, call.at)}
            case "userDataStream.ping":
                key = self.keys.renew(call.account, call.at)
                if not key:
                    raise unknown_listen_key()
                return {"listenKey": key}
            case "userDataStream.stop":
                self.keys.close(call.account)
                return {}
        raise Denied(-1020, "This operation is not supported.")

    def deliver(self, mail: Mail) -> None:
        """Spot events, each wrapped with the id of the subscription it belongs to."""
        if not mail:
            return
        for session in list(self.sessions.values()):
            for number, owner in session.subscriptions.items():
                for account, event in mail:
                    if account == owner:
                        wrapped = {"subscriptionId": number, "event": event}
                        session.socket.send(msgspec.json.encode(wrapped))

    def announce(self, event: dict[str, Any]) -> None:
        """Tell every session something that belongs to no subscription."""
        payload = msgspec.json.encode({"event": event})
        for session in self.sessions.values():
            session.socket.send(payload)

    def sockets(self) -> Iterable[Socket]:
        return [session.socket for session in self.sessions.values()]


def listen_key_calls(keys: ListenKeys) -> dict[str, Callable[[Call], Any]]:
    """The REST side of listen keys by HTTP method."""

    def start(call: Call) -> dict[str, str]:
        return {"listenKey": keys.issue(call.account, call.at)}

    def renew(call: Call) -> dict[str, str]:
        key = keys.renew(call.account, call.at)
        if not key:
            raise unknown_listen_key()
        return {"listenKey": key}

    def close(call: Call) -> dict[str, str]:
        keys.close(call.account)
        return {}

    return {"POST": start, "PUT": renew, "DELETE": close}


def unknown_listen_key() -> Denied:
    return Denied(-1125, "This listenKey does not exist.")


def _frame(number: Any, result: Any, limits: list[dict[str, object]] | None) -> bytes:
    body: dict[str, Any] = {"id": number}
    if isinstance(result, Denied):
        error: dict[str, Any] = result.body()
        if result.retry_at_ms:
            error["data"] = {"retryAfter": result.retry_at_ms}
        body |= {"status": result.status, "error": error}
    else:
        body |= {"status": 200, "result": result}
    if limits is not None:
        body["rateLimits"] = limits
    return msgspec.json.encode(body)
