"""The live table in the terminal: what is found, what is in flight, what it earned."""

import queue
import sys
import threading
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from oneprice.app.run import Running
from oneprice.app.summary import Latency, Summary
from oneprice.cli.scene import Row, rows, scene
from oneprice.core.ledger import CURRENCY

NOTES_KEPT = 50
DAYS_SHOWN = 7  # of profit and funding at the end of a run; --json has all
CLOSE_PATIENCE_S = 1.0

_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_TONES = {"head": "1", "title": "1;36", "good": "32", "bad": "1;31", "quiet": "2"}


class Screen:
    """Redraws in place, on the terminal's second page; the first one gets its text back.

    Where standard error is no terminal nothing is drawn. Log lines that come while the table is
    shown stand below it, and are repeated when it is gone. The writing is done by a thread: a
    terminal that does not read (Ctrl-S, a slow line) misses pictures, and the trading goes on.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self.live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._notes: deque[str] = deque(maxlen=NOTES_KEPT)
        self._pictures: queue.Queue[str | None] = queue.Queue(maxsize=1)
        self._writer = threading.Thread(target=self._write, name="screen", daemon=True)
        if self.live:
            self._console.set_alt_screen(True)
            self._console.show_cursor(False)
            self._writer.start()
            self._put([Row("oneprice · starting the twins", "head")])

    def show(self, running: Running) -> None:
        if self.live:
            width, height = self._console.size
            self._put(rows(scene(running), width, height, tuple(self._notes)))

    def write(self, text: str) -> int:
        """A log line: below the table while it is shown."""
        if not self.live:
            return sys.stderr.write(text)
        self._notes += [line for line in text.splitlines() if line.strip()]
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        if not self.live:
            return
        try:
            self._pictures.put(None, timeout=CLOSE_PATIENCE_S)
        except queue.Full:
            return  # the terminal does not read: there is nobody to tidy up for
        self._writer.join(CLOSE_PATIENCE_S)
        self.live = False
        self._console.set_alt_screen(False)
        self._console.show_cursor(True)
        for note in self._notes:
            sys.stderr.write(f"{note}\n")

    def _put(self, picture: Sequence[Row]) -> None:
        coloured = self._console.color_system is not None and not self._console.no_color
        lines = (_painted(row) if coloured else row.text for row in picture)
        text = f"{_REST_OF_LINE}\r\n".join(lines)
        try:
            self._pictures.put_nowait(f"{_HOME}{text}{_REST_OF_LINE}{_REST_OF_SCREEN}")
        except queue.Full:
            return  # the last picture is still on its way

    def _write(self) -> None:
        while (picture := self._pictures.get()) is not None:
            sys.stderr.write(picture)
            sys.stderr.flush()


def _painted(row: Row) -> str:
    code = _TONES.get(row.tone)
    return f"\x1b[{code}m{row.text}\x1b[0m" if code and row.text else row.text


def print_summary(summary: Summary) -> None:
    """The end of a run for a person, on standard output."""
    console = Console()
    table = Table(title=f"run of {summary.seconds:.0f} s, kernel {summary.kernel}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    trading = {cause: amount for cause, amount in summary.pnl.items() if cause != CURRENCY}
    figures = {
        "frames": f"{summary.frames:,}",
        "intents": str(summary.intents),
        "refused": _list(summary.refused),
        "groups": _list(summary.groups),
        "orders, fills": f"{summary.orders}, {summary.fills}",
        **{f"P&L {cause}": _money(amount) for cause, amount in trading.items()},
        "earned": _money(summary.earned),
        "new prices of coins held": _money(summary.pnl.get(CURRENCY, "0")),
        "equity change": _money(summary.equity_change),
        **_by_day(summary),
        "ledger residual": summary.ledger_residual,
        "resyncs, reconnects": f"{summary.resyncs}, {summary.reconnects}",
        "rejected frames": _list(summary.rejected_frames),
        "heard to sent p50, p99": _latency(summary.latency_us),
        "clutch": summary.clutch,
        "discrepancies": "\n".join(summary.discrepancies) or "none",
        "session": summary.session,
    }
    for name, value in figures.items():
        table.add_row(name, value)
    console.print(table)


def _by_day(summary: Summary) -> dict[str, str]:
    """Days, settlements and transfers, where there is something to say of them."""
    found: dict[str, str] = {}
    days = summary.pnl_by_day
    for day in list(days)[-DAYS_SHOWN:] if len(days) > 1 else []:
        whole = sum(map(Decimal, days[day].values()), Decimal(0))
        causes = ", ".join(f"{cause} {_money(n)}" for cause, n in days[day].items())
        found[f"on {day}"] = f"{_money(str(whole))}: {causes}"
    shown = sorted({one.day for one in summary.funding_by_day})[-DAYS_SHOWN:]
    for one in summary.funding_by_day:
        if one.day in shown:
            told = f"{one.booked} {one.asset} in {one.settlements}"
            beyond = f", {one.surprise} beyond what was expected"
            name = f"funding {one.day} {one.instrument}"
            found[name] = told + (beyond if Decimal(one.surprise) else "")
    for purse, amount in summary.transferred.items():
        venue, wallet, asset = purse.rsplit("/", 2)
        found[f"transferred {venue} {wallet} {asset}"] = f"{Decimal(amount):+f}"
    return found


def _money(amount: str) -> str:
    return f"{Decimal(amount):+.4f}"


def _latency(latency: Latency) -> str:
    if latency.p50 is None or latency.p99 is None:
        return "nothing sent"
    return f"{latency.p50:,.0f}, {latency.p99:,.0f} µs"


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
