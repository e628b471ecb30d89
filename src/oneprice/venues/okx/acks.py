"""Events of OKX's sockets that are no data: subscriptions, logins, notices.

Source: API v5, "Connect", "Login", "Subscribe". Each topic of a request is answered alone, and
the shell waits for one answer: the last one speaks for all.
"""

import msgspec

from oneprice.model.units import Nanos
from oneprice.venues.contract import Ack, Output
from oneprice.venues.okx import codes
from oneprice.venues.okx.frames import Envelope, rejected

# Errors that are about a request as a whole; every other one is about one of its topics.
_WHOLE_REQUEST = frozenset(("60011", "60012", "60013", "60014"))
_PENDING_MAX = 1_024  # questions that were never answered must not fill the memory


class _Asked(msgspec.Struct):
    """A subscription under way."""

    left: int
    on: bool
    text: str = ""


class Subscriptions:
    """What was asked on the sockets of one side and is not fully answered yet."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def ask(self, request_id: str, topics: int, *, on: bool) -> None:
        self._asked[request_id] = _Asked(left=topics, on=on)
        if len(self._asked) > _PENDING_MAX:
            del self._asked[next(iter(self._asked))]

    def event(self, socket: str, said: Envelope, frame: bytes, at: Nanos) -> list[Output]:
        """What a frame with an `event` means for the shell."""
        text = f"{said.code} {said.msg}".strip()
        match said.event:
            case "login":
                ok = said.code == "0"
                return [Ack(socket=socket, kind="login", ok=ok, text="" if ok else text)]
            case "error" if said.code in codes.LOGIN:
                return [Ack(socket=socket, kind="login", ok=False, text=text)]
            case "subscribe" | "unsubscribe":
                return self._answered(socket, said.id, "", whole=False)
            case "error":
                whole = said.code in _WHOLE_REQUEST
                return self._answered(socket, said.id, text or "error", whole=whole)
            case "notice":
                return [Ack(socket=socket, kind="closing", text=text)]
            case "channel-conn-count":
                return []
            case other:
                # "channel-conn-count-error" too: a channel was taken away after its good answer.
                return [rejected(socket, f"event {other[:40]!r}", frame, at)]

    def _answered(self, socket: str, request_id: str, text: str, *, whole: bool) -> list[Output]:
        asked = self._asked.get(request_id)
        if asked is None:
            if not text:
                return []
            return [Ack(socket=socket, kind="subscribe", ok=False, text=text)]
        asked.text = asked.text or text
        asked.left = 0 if whole else asked.left - 1
        if asked.left > 0:
            return []
        del self._asked[request_id]
        return [
            Ack(
                socket=socket,
                kind="subscribe" if asked.on else "unsubscribe",
                ok=not asked.text,
                request_id=request_id,
                text=asked.text,
            )
        ]
