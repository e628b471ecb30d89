"""nautilus_trader's Rust clients for BitMEX read the twin.

Release 1.221.0 ends its process on the empty `clOrdLinkID` that the venue sends with every order:
trading is left to other clients.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("nautilus_trader", reason="the judge has an environment of its own")

from nautilus_trader.core import nautilus_pyo3 as n

pytestmark = pytest.mark.stranger
ACCOUNT = n.AccountId("BITMEX-001")
PERP = n.InstrumentId.from_str("XBTUSD.BITMEX")


@pytest.fixture
def venue(venue_of: Callable[[str], Any]) -> Any:
    return venue_of("bitmex")


@pytest.fixture
def http(venue: Any) -> Any:
    return n.BitmexHttpClient(
        api_key=venue.account.key,
        api_secret=venue.account.secret,
        base_url=f"{venue.rest}/api/v1",
    )


async def test_time_and_account_are_parsed(http: Any) -> None:
    assert await http.http_get_server_time() > 0
    assert await http.http_get_margin("XBt") > 0
    state = await http.request_account_state(ACCOUNT)
    rows = [one.to_dict() for one in state.balances]
    assert {row["currency"]: Decimal(row["total"]) for row in rows}["XBT"] == 5
    assert await http.request_position_status_reports() == []
    assert await http.request_fill_reports(PERP) == []


async def test_markets_trades_and_bars_are_parsed(http: Any) -> None:
    instruments = await http.request_instruments(True)
    for one in instruments:
        http.add_instrument(one)
    assert await http.request_trades(PERP, None, None, 5)
    kind = n.BarType.from_str("XBTUSD.BITMEX-1-MINUTE-LAST-EXTERNAL")
    assert len(await http.request_bars(kind, None, None, 3)) == 3


async def test_the_private_stream_is_parsed(venue: Any, until: Callable[..., Any]) -> None:
    heard: list[Any] = []
    link = n.BitmexWebSocketClient(
        f"{venue.ws}/realtime", venue.account.key, venue.account.secret, ACCOUNT
    )
    await link.connect([], heard.append)
    await link.wait_until_active(5.0)
    for work in (
        link.subscribe_orders(),
        link.subscribe_executions(),
        link.subscribe_positions(),
        link.subscribe_margin(),
        link.subscribe_wallet(),
    ):
        await work
    await until(
        lambda: [one for one in heard if type(one).__name__ == "AccountState"], "the account"
    )
    await link.close()
