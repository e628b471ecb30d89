"""Which request an ack belongs to: BitMEX answers each topic alone and echoes the request.

Source: protocol document, section 10. The protocol has no request ids; the echoed topics say
which request is meant, and it is answered when all of its topics are.
"""

from collections.abc import Sequence

from oneprice.venues.bitmex.wire import OPERATION, TOPICS, UNREADABLE, Frame
from oneprice.venues.contract import Ack

_WAITING_MAX = 4096  # requests that are never answered must not fill the memory


class Acks:
    """The subscriptions of the sockets that wait for an answer."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, tuple[str, ...]], tuple[str, dict[str, None]]] = {}

    def expect(self, op: str, topics: Sequence[str], request_id: str) -> None:
        """From now on answers that echo this request belong to `request_id`."""
        key = op, tuple(topics)
        self._waiting.pop(key, None)
        self._waiting[key] = request_id, dict.fromkeys(topics)
        if len(self._waiting) > _WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]

    def control(self, socket: str, frame: Frame) -> Sequence[Ack]:
        """The meaning of a frame that is not of a table; ValueError for one we do not know.

        A request of many topics is acknowledged once: when the last is, or when one fails.
        """
        if frame.info:
            return _welcomed(socket, frame)
        if frame.cancel_time:
            return (Ack(socket=socket, kind="pong"),)
        asked = OPERATION.decode(frame.request)
        failed = bool(frame.error) or frame.success is False
        if "already subscribed" in frame.error.lower():
            failed = False  # what we want is so
        text = f"{frame.status} {frame.error}"[:200] if failed else ""
        match asked.op:
            case "authKeyExpires":
                return (Ack(socket=socket, kind="login", ok=not failed, text=text),)
            case "subscribe" | "unsubscribe":
                done = frame.subscribe or frame.unsubscribe
                return self._answered(socket, asked.op, _topics(asked.args), done, text)
        raise ValueError(f"unknown operation {asked.op[:30]!r}: {text}")

    def _answered(
        self, socket: str, op: str, topics: tuple[str, ...], done: str, text: str
    ) -> Sequence[Ack]:
        key = op, topics
        request_id, left = self._waiting.get(key, ("", {}))
        if not request_id:
            return ()  # its other topics failed before, and that was told
        left.pop(done, None)
        if left and not text:
            return ()
        del self._waiting[key]
        if op == "unsubscribe":
            # What never was subscribed is as good as unsubscribed.
            return (Ack(socket=socket, kind="unsubscribe", request_id=request_id),)
        ok = not text
        return (Ack(socket=socket, kind="subscribe", ok=ok, request_id=request_id, text=text),)


def _topics(args: bytes) -> tuple[str, ...]:
    """The topics of an echo; one topic may stand alone."""
    try:
        return tuple(TOPICS.decode(args))
    except UNREADABLE:
        return (bytes(args).decode("utf-8", "replace").strip('"'),)


def _welcomed(socket: str, frame: Frame) -> Sequence[Ack]:
    """The greeting announces how many more connections this hour has for us."""
    if frame.limit is None or frame.limit.remaining > 0:
        return ()
    text = "no connections left in this hour"
    return (Ack(socket=socket, kind="rate", ok=False, text=text, bucket="connects"),)
