"""What the live table shows, as plain lines for a terminal of any size; draws nothing itself."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from oneprice.app.run import Running
from oneprice.app.summary import earned, microseconds, quantile
from oneprice.core.ledger import CURRENCY
from oneprice.core.strategy import BreakEvenCard, GroupReport, Holding, Opportunity
from oneprice.model.units import BPS, MICRO, MILLI, ROUNDED, SECOND, ZERO
from oneprice.shell.gateway import Gateway

LATENCIES_SHOWN = 1000  # the latest, for the percentiles
NOTES_SHOWN = 3
MIDDLE, WIDE = 104, 140  # columns from which more of a card fits
PAIR_WIDTH = 32
ROWS_MIN = 3
# The lines of a card and their titles. Where there is no room the last five are shown as one.
LINES = ("gross", "fees", "slippage", "closing", "funding", "borrow", "haircut")
TITLES = ("gross", "fees", "slip", "exit", "fund", "borrow", "missed")


class Row(NamedTuple):
    """One line and what it is: head, title, good, bad, quiet or plain."""

    text: str
    tone: str = "plain"


class FeedHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one venue's connections do."""

    venue: str
    lines_up: int
    lines: int
    books_known: int
    books: int
    oldest_ms: int
    resyncs: int
    reconnects: int
    offset_ms: float
    missing: tuple[str, ...] = ()


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a run."""

    phase: str
    seconds: float
    seconds_planned: float  # 0: until interrupted
    kernel: str
    clutch: str
    frames: int
    counts: Mapping[str, int]
    ends: Mapping[str, int]
    latency_us: tuple[float | None, float | None]  # p50, p99
    now: int
    opportunities: Sequence[Opportunity]
    groups: Sequence[GroupReport]
    holdings: Sequence[Holding]
    positions: Mapping[str, str]  # instrument -> signed size as the venue counts it
    asset: str
    profit: Mapping[str, Decimal]
    equity_change: Decimal
    refused: Mapping[str, int]
    feeds: Sequence[FeedHealth]


def scene(running: Running) -> Scene:
    """Everything worth showing, read from a run in progress."""
    engine, runtime = running.desk.engine, running.runtime
    report, now = engine.report, runtime.clock.now()
    latest = list(itertools.islice(reversed(runtime.latencies_ns), LATENCIES_SHOWN))
    return Scene(
        phase=running.phase,
        seconds=time.monotonic() - running.started,
        seconds_planned=running.planned,
        kernel=running.kernel,
        clutch=report.clutch or "closed",
        frames=running.desk.frames,
        counts=report.counts(),
        ends=report.group_ends(),
        latency_us=(microseconds(quantile(latest, 0.5)), microseconds(quantile(latest, 0.99))),
        now=now,
        opportunities=report.opportunities(),
        groups=report.groups(),
        holdings=report.holdings(),
        positions={i: running.size_text(i, lots) for i, lots in report.positions().items()},
        asset=running.reporting,
        profit=report.profit(),
        equity_change=report.equity_change(),
        refused=report.refusals(),
        feeds=[_health(running, gateway, now) for gateway in running.gateways],
    )


def _health(running: Running, gateway: Gateway, now: int) -> FeedHealth:
    books = list(running.desk.dialect(gateway.name).feed.books.values())
    known = [book for book in books if book.known]
    return FeedHealth(
        venue=gateway.name,
        lines_up=sum(line.ready for line in gateway.lines),
        lines=len(gateway.lines),
        books_known=len(known),
        books=len(books),
        oldest_ms=max(((now - book.at) // MILLI for book in known), default=0),
        resyncs=gateway.resyncs,
        reconnects=gateway.reconnects,
        offset_ms=running.runtime.clock.offset_ns(gateway.name) / MILLI,
        missing=tuple(gateway.unsettled()),
    )


def rows(look: Scene, width: int, height: int, notes: Sequence[str] = ()) -> list[Row]:
    """The look in at most `height` lines of at most `width` characters.

    What is in flight and what it earned is always there; opportunities take what room is left.
    """
    head = list(_head(look, width))
    money = list(_money(look, width))
    feeds = list(_feeds(look, width))
    told = [Row(note, "quiet") for note in notes[-NOTES_SHOWN:]]
    taken = len(head) + len(money) + len(feeds) + len(told)
    room = max(2 * ROWS_MIN, height - taken)
    flight = list(_flight(look, width, max(ROWS_MIN, room // 3)))
    blocks = [
        head,
        list(_opportunities(look, width, max(ROWS_MIN, room - len(flight)))),
        flight,
        money,
        feeds,
        told,
    ]
    gap = height >= sum(map(len, blocks)) + len(blocks)
    lines: list[Row] = []
    for block in blocks:
        if gap and lines and block:
            lines.append(Row(""))
        lines += block
    return [Row(row.text[:width].rstrip(), row.tone) for row in lines[:height]]


def _head(look: Scene, width: int) -> Iterator[Row]:
    spent = _span(look.seconds)
    if look.seconds_planned:
        spent += f" of {_span(look.seconds_planned)}"
    first = [
        f"oneprice · {look.phase} {spent}",
        f"kernel {look.kernel}" + (", plain Python: no native one" * (look.kernel != "native")),
        f"clutch {look.clutch}",
        "Ctrl-C stops",
    ]
    p50, p99 = (_time(value) for value in look.latency_us)
    ends = ", ".join(f"{number} {end.lower()}" for end, number in look.ends.items()) or "none"
    second = [
        f"heard to sent p50 {p50} p99 {p99}",
        f"frames {look.frames:,}",
        f"orders {look.counts.get('orders', 0)}",
        f"fills {look.counts.get('fills', 0)}",
        f"groups ended: {ends}",
    ]
    tone = "head" if look.clutch == "closed" else "bad"
    for items in (first, second):
        yield from (Row(text, tone) for text in _flow("", items, width))


def _opportunities(look: Scene, width: int, height: int) -> Iterator[Row]:
    narrow, wide = width < MIDDLE, width >= WIDE
    titles = (*(("gross", "fees", "other") if narrow else TITLES), "net")
    cells = [8 if wide else max(7 if narrow else 6, len(title) + 1) for title in titles]
    who = "" if narrow else f"{'strategy':<14}"
    numbers = "".join(f"{title:>{cell}}" for title, cell in zip(titles, cells, strict=True))
    yield Row(f"{'OPPORTUNITIES buy > sell (bps)':<{PAIR_WIDTH}}{who}{numbers} verdict", "title")
    found = sorted(
        ((o, o.card) for o in look.opportunities if o.card is not None),
        key=lambda item: item[1].net_bps,
        reverse=True,
    )
    if not found:
        yield Row("no pair has been priced yet", "quiet")
    digits = 2 if wide else 1
    for item, card in found[: height - 1]:
        who = "" if narrow else f"{item.strategy:<14}"
        bps = zip(_card(card, narrow=narrow), cells, strict=True)
        numbers = "".join(f"{value:>{cell}.{digits}f}" for value, cell in bps)
        tone = "good" if card.net > 0 else "plain"
        yield Row(f"{_pair(item.pair):<{PAIR_WIDTH}}{who}{numbers} {item.verdict}", tone)


def _card(card: BreakEvenCard, *, narrow: bool) -> list[Decimal]:
    """The lines and the net in basis points of notional; the lines add up to the net."""
    amounts = [getattr(card, name) for name in LINES]
    if narrow:
        amounts = [*amounts[:2], sum(amounts[2:], ZERO)]
    unit = card.notional * BPS
    return [ROUNDED.divide(a, unit) if unit else ZERO for a in (*amounts, card.net)]


def _flight(look: Scene, width: int, height: int) -> Iterator[Row]:
    held = ", ".join(f"{name} {size}" for name, size in look.positions.items()) or "none"
    count = f"{len(look.groups)} in flight, {len(look.holdings)} held"
    yield Row(f"LEGS AND HOLDINGS {count}", "title")
    positions = _flow("positions ", held.split(", "), width)[: max(1, height // 3)]
    entries = list(_entries(look))
    room = max(1, height - 1 - len(positions))
    shown = entries if len(entries) <= room else entries[: room - 1]
    yield from shown
    if len(shown) < len(entries):
        yield Row(f"... and {len(entries) - len(shown)} more", "quiet")
    yield from (Row(text) for text in positions)


def _entries(look: Scene) -> Iterator[Row]:
    for group in look.groups:
        delta = ", ".join(f"{asset} {amount:+f}" for asset, amount in group.deltas.items())
        what = f"closes {group.closes}" if group.closes else "opens"
        age = _time((look.now - group.began) / MICRO)
        unhedged = f" · unhedged {delta}" if delta else ""
        yield Row(f"{_pair(group.pair):<{PAIR_WIDTH}}{group.state} {age} · {what}{unhedged}")
    for holding in look.holdings:
        age = _span((look.now - holding.opened) / SECOND)
        told = (
            f"held {age}",
            f"expected {holding.card.net:+.2f}",
            f"fees {holding.fees_paid:.2f}",
            f"funding {holding.funding:+.2f}",
        )
        yield Row(f"{_pair(holding.pair):<{PAIR_WIDTH}}{' · '.join(told)}")


def _money(look: Scene, width: int) -> Iterator[Row]:
    profit = dict(look.profit)
    currency = profit.pop(CURRENCY, ZERO)
    total = earned(look.profit)
    yield Row(f"P&L {look.asset}: earned {total:+.4f}", "title")
    causes = [f"{cause} {amount:+.4f}" for cause, amount in profit.items()]
    yield from (Row(text) for text in _flow("by cause  ", causes, width))
    yield Row(
        f"equity {look.equity_change:+.2f} = earned {total:+.2f}"
        f" and {currency:+.2f} for new prices of the coins held",
        "quiet",
    )
    refused = [f"{rule} {count}" for rule, count in look.refused.items()] or ["nothing"]
    yield from (Row(text) for text in _flow("refused   ", refused, width)[:2])


def _feeds(look: Scene, width: int) -> Iterator[Row]:
    yield Row("FEEDS      lines  books  oldest book  resyncs  reconnects  clock offset", "title")
    for feed in look.feeds:
        lines, books = f"{feed.lines_up}/{feed.lines}", f"{feed.books_known}/{feed.books}"
        text = (
            f"{feed.venue:<10} {lines:>5}  {books:>5}  {feed.oldest_ms:>8} ms"
            f"  {feed.resyncs:>7}  {feed.reconnects:>10}  {feed.offset_ms:>9.1f} ms"
        )
        yield Row(text, "bad" if feed.missing else "plain")
        if feed.missing:
            yield Row(f"{'':<10} waits for {', '.join(feed.missing)}", "bad")


def _pair(pair: str) -> str:
    """`SOL buy a:spot:SOLUSDT sell b:usdm:SOLUSDT` as `SOL a:spot > b:usdm`."""
    match pair.split():
        case [coin, "buy", buy, "sell", sell]:
            plain_symbol = f":{coin}USDT"
            return f"{coin} {buy.removesuffix(plain_symbol)} > {sell.removesuffix(plain_symbol)}"
        case _:
            return pair


def _flow(label: str, items: Iterable[str], width: int) -> list[str]:
    """Items one after the other, in as many lines as they need; a label before the first."""
    lines, line, start = [], label, True
    for item in items:
        piece = item if start else f" · {item}"
        if not start and len(line) + len(piece) > width:
            lines.append(line)
            line, piece = " " * len(label), item
        line, start = line + piece, False
    return [*lines, line]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _time(microseconds_: float | None) -> str:
    if microseconds_ is None:
        return "–"
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds_ >= size:
            return f"{microseconds_ / size:.1f} {unit}"
    return f"{microseconds_:.0f} µs"

