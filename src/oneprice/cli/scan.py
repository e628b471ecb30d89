"""`oneprice scan`: the same thing at two prices, on any venue that ccxt can read."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from oneprice.app.config import ConfigError
from oneprice.app.scan import Reader, Round, open_reader
from oneprice.app.scan import scan as look
from oneprice.cli.speech import EXIT_WRONG, complain, say
from oneprice.cli.words import whole_of

_WIDTH_MAX = 400


def scan(
    venues: Annotated[str, typer.Option(help="Venues by ccxt's names: kraken,gate.")],
    symbols: Annotated[str, typer.Option(help="Unified symbols: BTC/USDT,BTC/USDT:USDT.")],
    rounds: Annotated[
        str, typer.Option(metavar="N", help="How many looks; 0: until stopped.")
    ] = "1",
    depth: Annotated[str, typer.Option(metavar="N", help="Levels a side to ask for.")] = "20",
    at: Annotated[
        list[str] | None,
        typer.Option(help="VENUE=http://host:port instead of its own hosts; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per look.")] = False,
) -> None:
    """Compare prices across venues. Reads public data; it has no account and takes no keys."""
    names, wanted = _listed(venues, "--venues"), _listed(symbols, "--symbols")
    hosts = _hosts(at or [], names)
    looks = whole_of(rounds, "--rounds", 0, zero="until stopped")
    levels = whole_of(depth, "--depth", 1)
    try:
        found = asyncio.run(_scan(names, wanted, hosts, looks, levels, as_json=as_json))
    except KeyboardInterrupt:
        return
    if not found:
        raise typer.Exit(EXIT_WRONG)


async def _scan(
    names: Sequence[str],
    symbols: Sequence[str],
    hosts: dict[str, str],
    rounds: int,
    depth: int,
    *,
    as_json: bool,
) -> int:
    """How many prices were found."""
    readers: list[Reader] = []
    found = 0
    try:
        readers += (open_reader(name, hosts.get(name, "")) for name in names)
        async for seen in look(readers, symbols, rounds, depth):
            found += len(seen.quotes)
            if as_json:
                say(msgspec.json.encode(seen).decode())
            else:
                _show(seen)
    finally:
        await asyncio.gather(*(reader.close() for reader in readers))
    return found


def _show(seen: Round) -> None:
    for fault in seen.faults:
        where = f"{fault.venue} {fault.symbol}".strip()
        complain(f"{where}: {fault.kind}: {fault.text}")
    if not seen.differences:
        count = len(seen.quotes)
        say(f"{count} price{'' if count == 1 else 's'}, no two of the same thing")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("buy", "ask", "sell", "bid", "size", "gross bps", "fees bps", "net bps", "ms"):
        left = title in ("buy", "sell")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    for way in seen.differences:
        numbers = (way.gross_bps, way.fees_bps, way.net_bps)
        table.add_row(
            way.buy,
            f"{way.ask:f}",
            way.sell,
            f"{way.bid:f}",
            f"{way.size:.8f}",
            *("unknown" if number is None else f"{number:+}" for number in numbers),
            str(way.apart_ms),
        )
    # A name that is cut off would not say which market it is of.
    Console(highlight=False, width=_WIDTH_MAX).print(table)


def _listed(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"{option}: expected names with commas between, found {text!r}")
    return list(dict.fromkeys(names))


def _hosts(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for text in given:
        name, equals, url = text.partition("=")
        if not equals or name not in names:
            raise ConfigError(f"--at: expected one of {names} = http://host:port, found {text!r}")
        if hosts.setdefault(name, url) != url:
            raise ConfigError(f"--at: expected one host for {name}, found {hosts[name]} and {url}")
    return hosts
