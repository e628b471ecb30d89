"""Alerts: what a person should hear of now, sent by a thread of its own and never too often."""

import importlib
import queue
import threading
from collections.abc import Callable
from traceback import format_exception
from typing import Protocol, cast

import msgspec
import structlog

from oneprice.core.strategy import Alarmed, ClutchOpened, Discrepancy
from oneprice.shell.desk import Turn
from oneprice.shell.telemetry_veil import VEIL

log = structlog.get_logger("alerts")

QUEUE_MAX = 1_000  # beyond it alerts are counted, not kept
MINUTE_S, HOUR_S = 60.0, 3600.0
CLOSE_S = 5.0  # how long the last alerts may take at the end
TEXT_CHARS_MAX = 1_000
# Seconds to connect and to wait for an answer, in the words of apprise; unless an address says so.
TIMEOUTS = {"cto": "4.0", "rto": "4.0"}


class AlertsMissing(RuntimeError):
    """Addresses are given, but not the library that can use them; or one cannot be used."""


class Alert(msgspec.Struct, frozen=True):
    """Something for a person; `kind` is one word, by which alerts are limited."""

    kind: str  # clutch discrepancy unhedged recovery kill failure feed ...
    text: str


class Notifier(Protocol):
    """Whoever brings a message out; false where it did not arrive. May block."""

    def __call__(self, title: str, body: str) -> bool: ...


class Throttle:
    """So many of a kind a minute, so many of all kinds an hour; counts what it holds back."""

    def __init__(self, per_minute: int, per_hour: int) -> None:
        self._per_minute, self._per_hour = per_minute, per_hour
        self._sent: list[tuple[float, str]] = []
        self._held: dict[str, int] = {}

    def passes(self, kind: str, now: float) -> bool:
        self._sent = [(at, k) for at, k in self._sent if now - at < HOUR_S]
        of_kind = sum(1 for at, k in self._sent if k == kind and now - at < MINUTE_S)
        if of_kind >= self._per_minute or len(self._sent) >= self._per_hour:
            self.hold(kind)
            return False
        self._sent.append((now, kind))
        return True

    def hold(self, kind: str) -> None:
        self._held[kind] = self._held.get(kind, 0) + 1

    def take_held(self) -> str:
        """What was held back since it was last told, as the end of a message; "" for nothing."""
        held, self._held = self._held, {}
        return "".join(f"\nand {count} more: {kind}" for kind, count in held.items())


class Alerts:
    """Takes alerts at once, sends them from a thread. `close` waits a little for the last ones."""

    def __init__(
        self, notify: Notifier, throttle: Throttle, clock: Callable[[], float], session: str
    ) -> None:
        self.sent = self.failed = 0
        self._notify = notify
        self._throttle = throttle
        self._clock = clock
        self._title = f"oneprice {session}".rstrip()
        self._queue: queue.Queue[Alert | None] = queue.Queue(QUEUE_MAX)
        # A daemon: somebody's mail server must not keep a program alive that is to end.
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def put(self, kind: str, text: str) -> None:
        """Never blocks, never raises; what does not fit is lost and said in the log."""
        try:
            self._queue.put_nowait(Alert(kind, text[:TEXT_CHARS_MAX]))
        except queue.Full:
            self.failed += 1
            log.error("alert lost: too many wait", kind=kind, text=text[:TEXT_CHARS_MAX])

    def hear(self, turn: Turn) -> None:
        """Whatever a turn decided that a person should know."""
        for decision in turn.record:
            match decision:
                case ClutchOpened(reason=reason):
                    self.put("clutch", f"clutch opened: {reason}")
                case Discrepancy(kind=kind, subject=subject, expected=expected, found=found):
                    text = f"{kind} {subject}: expected {expected}, found {found}"
                    self.put("discrepancy", text)
                case Alarmed(kind=kind, subject=subject, text=text):
                    self.put(kind, f"{kind} {subject}: {text}")
                case _:
                    pass

    def broke(self, where: str, error: BaseException) -> None:
        self.put("failure", f"{where}: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Send what waits, but do not wait long for it."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _work(self) -> None:
        while (alert := self._queue.get()) is not None:
            if not self._throttle.passes(alert.kind, self._clock()):
                continue
            self._send(f"{alert.text}{self._throttle.take_held()}")
        rest = self._throttle.take_held()
        if rest:
            self._send(f"the run has ended{rest}")

    def _send(self, body: str) -> None:
        try:
            arrived = self._notify(VEIL.text(self._title), VEIL.text(body))
            why = "refused, or no answer"
        except Exception as error:  # a plugin of a library: it may raise what it likes
            arrived, why = False, "".join(format_exception(error))
        if arrived:
            self.sent += 1
        else:
            self.failed += 1
            log.error("alert not delivered", body=body, why=why)


def apprise_notifier(urls: list[str]) -> Notifier:
    """Sends through every address; AlertsMissing where apprise is absent or one is unusable.

    Slow (the library loads a hundred plugins): not while something trades.
    """
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise AlertsMissing(
            "ONEPRICE_ALERTS is set, but apprise is not installed: pip install 'oneprice[alerts]'"
        ) from None
    bell = apprise.Apprise()
    for number, url in enumerate(urls, 1):
        if not bell.add(_with_timeouts(url)):
            scheme = url.partition(":")[0][:20]
            raise AlertsMissing(
                f"ONEPRICE_ALERTS: address {number} of {len(urls)} ({scheme}): "
                "expected one that apprise knows"
            )
    failure = apprise.NotifyType.FAILURE

    def notify(title: str, body: str) -> bool:
        return cast("bool", bell.notify(title=title, body=body, notify_type=failure))

    return notify


def _with_timeouts(url: str) -> str:
    for name, value in TIMEOUTS.items():
        if f"{name}=" not in url:
            url += f"{'&' if '?' in url else '?'}{name}={value}"
    return url
