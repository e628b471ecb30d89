"""The live table in the terminal: what is found, what is in flight, what it earned."""

from decimal import Decimal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from oneprice.app.run import Running
from oneprice.app.summary import Summary, microseconds, quantile
from oneprice.core.strategy import Opportunity
from oneprice.model.units import MILLI

ROWS_MAX = 12


class Screen:
    """Redraws four times a second; the trading never waits for it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, running: Running) -> None:
        self._live.update(
            Group(
                _head(running),
                _opportunities(running),
                _groups(running),
                _money(running),
                _feeds(running),
            ),
            refresh=True,
        )

    def close(self) -> None:
        self._live.stop()


def _head(running: Running) -> Text:
    report = running.desk.engine.report
    counts = report.counts()
    latencies = list(running.runtime.latencies_ns)[-1000:]
    p50 = microseconds(quantile(latencies, 0.5))
    clutch = report.clutch or "closed"
    return Text(
        f"oneprice · {running.phase} · frames {running.desk.frames:,} · "
        f"orders {counts.get('orders', 0)} · fills {counts.get('fills', 0)} · "
        f"clutch {clutch} · heard to sent {p50 if p50 is not None else '–'} µs",
        style="bold" if clutch == "closed" else "bold red",
    )


def _opportunities(running: Running) -> Table:
    table = Table(title="opportunities: break-even cards in bps of notional", expand=True)
    for name in ("strategy", "pair"):
        table.add_column(name)
    for name in ("gross", "fees", "slip", "exit", "funding", "net"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    found = [o for o in running.desk.engine.report.opportunities() if o.card is not None]
    found.sort(key=_net, reverse=True)
    for item in found[:ROWS_MAX]:
        card = item.card
        if card is None:
            continue
        parts = (card.gross, card.fees, card.slippage, card.closing, card.funding, card.net)
        table.add_row(
            item.strategy, item.pair, *(_bps(p, card.notional) for p in parts), item.verdict
        )
    return table


def _net(item: Opportunity) -> Decimal:
    return item.card.net_bps if item.card is not None else Decimal("-Infinity")


def _bps(amount: Decimal, notional: Decimal) -> str:
    return f"{amount / notional * 10_000:.2f}" if notional else "–"


def _groups(running: Running) -> Table:
    report = running.desk.engine.report
    table = Table(title="legs in flight and holdings", expand=True)
    for name in ("id", "strategy", "pair", "state"):
        table.add_column(name)
    for group in report.groups():
        table.add_row(group.id, group.strategy, group.pair, group.state)
    for holding in report.holdings():
        legs = ", ".join(f"{leg.instrument} {leg.lots:+d}" for leg in holding.legs)
        table.add_row(holding.id, holding.strategy, legs, "held")
    return table


def _money(running: Running) -> Table:
    report = running.desk.engine.report
    table = Table(title="P&L by cause, and what the gate refused", expand=True)
    pnl = report.profit()
    for cause in pnl:
        table.add_column(cause, justify="right")
    table.add_column("equity change", justify="right")
    table.add_column("refused")
    refused = ", ".join(f"{rule} {count}" for rule, count in report.refusals().items())
    table.add_row(*(f"{v:.4f}" for v in pnl.values()), f"{report.equity_change():.4f}", refused)
    return table


def _feeds(running: Running) -> Table:
    now = running.runtime.clock.now()
    table = Table(title="feeds", expand=True)
    for name in ("venue", "lines up", "books known", "oldest book", "resyncs", "clock offset"):
        table.add_column(name, justify="left" if name == "venue" else "right")
    for gateway in running.gateways:
        books = [b for b in running.desk.dialect(gateway.name).feed.books.values() if b.known]
        oldest = max(((now - b.at) // MILLI for b in books), default=0)
        up = sum(line.ready for line in gateway.lines)
        table.add_row(
            gateway.name,
            f"{up}/{len(gateway.lines)}",
            str(len(books)),
            f"{oldest} ms",
            str(gateway.resyncs),
            f"{running.runtime.clock.offset_ns(gateway.name) / MILLI:.1f} ms",
        )
    return table


def print_summary(summary: Summary) -> None:
    """The end of a run for a person, on standard output."""
    console = Console()
    table = Table(title=f"run of {summary.seconds:.0f} s, kernel {summary.kernel}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    rows = {
        "frames": f"{summary.frames:,}",
        "intents": str(summary.intents),
        "refused": _list(summary.refused),
        "groups": _list(summary.groups),
        "orders, fills": f"{summary.orders}, {summary.fills}",
        **{f"P&L {cause}": amount for cause, amount in summary.pnl.items()},
        "equity change": summary.equity_change,
        "ledger residual": summary.ledger_residual,
        "resyncs, reconnects": f"{summary.resyncs}, {summary.reconnects}",
        "heard to sent p50, p99": f"{summary.latency_us.p50}, {summary.latency_us.p99} µs",
        "clutch": summary.clutch,
        "session": summary.session,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
