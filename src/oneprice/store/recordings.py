"""Recognises recordings of venues, whoever made them, and says what kind each file is."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from oneprice.store import forms
from oneprice.store.contract import Finding, Record
from oneprice.store.files import beginning
from oneprice.store.levels import kind_of, levels
from oneprice.store.tape import is_tape, read_tape

VENUES = ("binance", "bybit", "okx", "bitmex", "kucoin")

_HOSTS = {
    b"fstream.binance": ("binance", "usdm"),
    b"fapi.binance": ("binance", "usdm"),
    b"dstream.binance": ("binance", "coinm"),
    b"dapi.binance": ("binance", "coinm"),
    b"stream.binance": ("binance", "spot"),
    b"api.binance": ("binance", "spot"),
    b"okx.com": ("okx", "public"),
    b"bybit.com": ("bybit", ""),
    b"bitmex.com": ("bitmex", "derivatives"),
    b"api-futures.kucoin": ("kucoin", "futures"),
    b"//api.kucoin": ("kucoin", "spot"),
    b"kucoin.com": ("kucoin", ""),
}
_MARKET_HINTS = {
    "binance": (
        (r"usdm|usd_m|um_|futures", "usdm"),
        (r"coinm|binance_cm|delivery|_perp", "coinm"),
        (r"spot", "spot"),
    ),
    "bybit": ((r"spot", "spot"), (r"inverse", "inverse"), (r"linear|perp", "linear")),
    "okx": ((r"", "public"),),
    "bitmex": ((r"", "derivatives"),),
    "kucoin": ((r"futures|contract", "futures"), (r"spot", "spot")),
}
_KUCOIN_TOPIC = re.compile(rb'"topic"\s*:\s*"/(market|spotMarket|contractMarket|contract)/')
_PRIVATE = re.compile(
    rb"executionReport|outboundAccountPosition|ACCOUNT_UPDATE|ORDER_TRADE_UPDATE"
    rb"|'op': 'auth'|'topic': '(?:order|position|execution|wallet)|'event': 'login'"
)


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: the file, those beside it that belong to it, and what it is.

    `unread` says why there is no book to be made from it; "" means that there may be.
    """

    paths: tuple[Path, ...]
    form: str
    venue: str = ""
    market: str = ""
    unread: str = ""


class Unknown(ValueError):
    """A file that is no recording this program knows."""


def recognised(path: Path, venue: str = "", market: str = "") -> Recording:
    """What a file is; `venue` and `market`, where given, are believed before anything found.

    Raises Unknown, or Unreadable where its packing is broken.
    """
    head = beginning(path)
    if not head:
        raise Unknown(f"{path}: the file is empty")
    if is_tape(head):
        return Recording(paths=(path,), form="tape", venue=venue, market=market)
    form, paths, reason = _form(path, head)
    if not form:
        raise Unknown(f"{path}: not a recording of a known form: begins with {head[:40]!r}")
    found_venue, found_market = _origin(path, head)
    venue = venue or found_venue
    if not reason and not market and form != "connection lines":
        market = found_market
    return Recording(paths=paths, form=form, venue=venue, market=market, unread=reason)


def records(recording: Recording) -> Iterator[Record | Finding]:
    """Everything in it, in the order in which it came. Raises as the readers of its form do."""
    path = recording.paths[0]
    source = f"{recording.venue}/{recording.market}"
    match recording.form:
        case "tape":
            return read_tape(path)
        case "raw lines":
            return forms.raw_lines(path, source)
        case "bare lines":
            return forms.bare_lines(path, source)
        case "tabbed lines":
            return forms.tabbed(path, source)
        case "connection lines":
            return forms.connection_lines(path, recording.venue)
        case "one message":
            return forms.one_message(path, source)
        case "session dump":
            return forms.session(recording.paths, recording.venue, recording.market)
        case "event lists":
            return forms.event_lists(recording.paths, source)
        case _:
            return levels(path, source, _symbol_in(path))


def _form(path: Path, head: bytes) -> tuple[str, tuple[Path, ...], str]:
    """Form, the files that belong together, and why it cannot be read ("" if it can)."""
    first = head.partition(b"\n")[0]
    alone = (path,)
    if re.match(rb"\d{10,19}(\.\d+)? \{", head):
        return "raw lines", alone, ""
    if re.match(rb"\d{6,19}\t\{", head):
        return "tabbed lines", alone, ""
    if re.match(rb"(wss?|https?)://\S+ (<->|<-|->) ", head):
        return "session dump", _session_files(path), ""
    if re.match(rb'\{"t"\s*:\s*"(header|http|connect|send|recv)"', head):
        return "connection lines", alone, ""
    if _PRIVATE.search(head[:4096]):
        return "private stream", alone, "private order and account frames: they carry no book"
    if head[:1] in b"[{" and path.suffix == ".json":
        return _json_form(path, head)
    if first.startswith(b"{") and first.rstrip().endswith(b"}"):
        return "bare lines", alone, ""
    return _table_form(path, head)


def _json_form(path: Path, head: bytes) -> tuple[str, tuple[Path, ...], str]:
    if b'"table"' in head[:200]:
        return "one message", (path,), ""
    if b'"lastUpdateId"' in head[:200] or head.lstrip().startswith(b'[{"e"'):
        stem = path.name.rpartition("_")[0]
        beside = tuple(sorted(path.parent.glob(f"{stem}_*.json"))) if stem else ()
        return "event lists", beside or (path,), ""
    return "", (), ""


def _table_form(path: Path, head: bytes) -> tuple[str, tuple[Path, ...], str]:
    text = head.decode(errors="replace")
    header = next((line for line in text.split("\n") if not line.startswith("#")), "")
    if kind_of(header):
        return "levels table", (path,), ""
    if "funding" in header.lower() and "," in header:
        return "funding table", (path,), "a history of funding rates: it carries no book"
    return "", (), ""


def _session_files(path: Path) -> tuple[Path, ...]:
    """The sockets, REST answers and instrument lists of one session share a first word."""
    stem = path.name.partition(".")[0]
    found = sorted(path.parent.glob(f"{stem}.*.raw"), key=lambda each: ".ws." not in each.name)
    return tuple(found) or (path,)


def _origin(path: Path, head: bytes) -> tuple[str, str]:
    """Venue and market from addresses, else from the path, else from the frames."""
    if re.match(rb"(wss?|https?)://", head):
        address = head.partition(b" ")[0]
        for host, found in _HOSTS.items():
            if host in address:
                return found[0], found[1] or _market_of_frames(found[0], head)
    hint = "/".join(path.parts[-3:]).lower()
    venue = next((name for name in VENUES if name in hint), "") or _venue_of_frames(head)
    market = _market_of_frames(venue, head)
    if not market:
        for pattern, name in _MARKET_HINTS.get(venue, ()):
            if re.search(pattern, hint):
                return venue, name
    return venue, market


def _venue_of_frames(head: bytes) -> str:
    topic = re.search(rb'"topic"\s*:\s*"(orderbook|tickers|publicTrade)', head)
    if topic or b'"exchange":"BYBIT"' in head:
        return "bybit"
    if re.search(rb'"arg"\s*:\s*\{"channel"', head):
        return "okx"
    if _KUCOIN_TOPIC.search(head):
        return "kucoin"
    if re.search(rb'"table"\s*:\s*"(orderBookL2(_25)?|quote|trade|instrument)"', head):
        return "bitmex"
    if re.search(rb'"stream"\s*:|"e"\s*:\s*"|"lastUpdateId"|FinalUpdateId', head):
        return "binance"
    return ""


def _market_of_frames(venue: str, head: bytes) -> str:
    """Binance frames differ by market: only COIN-M carries ps, only futures carry pu.

    Touches of futures name their kind, those of spot do not. Topics of KuCoin begin otherwise on
    futures; other venues need no telling here.
    """
    if venue == "okx":
        return "public"
    if venue == "kucoin":
        topic = _KUCOIN_TOPIC.search(head)
        return "" if topic is None else "futures" if b"ontract" in topic[1] else "spot"
    if venue != "binance":
        return ""
    if b'"ps":' in head:
        return "coinm"
    if b'"pu":' in head or b"FinalUpdateIdInLastStream" in head or b'"X":' in head:
        return "usdm"
    if b"XUnknownParameter" in head:
        return "usdm"
    if re.search(rb'"e"\s*:\s*"bookTicker"', head):
        return "usdm"
    spot = (b'"depthUpdate"', b"@bookTicker", b"MUnknownParameter", b"FirstUpdateId")
    return "spot" if any(word in head for word in spot) else ""


def _symbol_in(path: Path) -> str:
    """The instrument a snapshot archive names in its file name, e.g. ..._spot_btcusdt_...."""
    found = re.search(r"_(?:spot|futures)_([a-z0-9]+)_", path.name.lower())
    return found[1].upper() if found else ""


def gathered(paths: Sequence[Path]) -> list[Path]:
    """Every file named, and every file below every directory named, in a stable order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                each
                for each in path.rglob("*")
                if each.is_file() and not each.name.startswith(".")
            )
        else:
            found.append(path)
    return found
