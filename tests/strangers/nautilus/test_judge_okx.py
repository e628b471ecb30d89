"""nautilus_trader's Rust clients for OKX read the twin.

Release 1.221.0 is older than `instIdCode`, which the venue asks of orders by socket, and it has
no plain order call over HTTP: trading is left to other clients.
"""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("nautilus_trader", reason="the judge has an environment of its own")

from nautilus_trader.core import nautilus_pyo3 as n
from nautilus_trader.model.data import capsule_to_data

pytestmark = pytest.mark.stranger
ACCOUNT = n.AccountId("OKX-001")
SWAP = n.InstrumentId.from_str("BTC-USDT-SWAP.OKX")
KINDS = {
    "BTC-USDT.OKX": n.OKXInstrumentType.SPOT,
    "BTC-USDT-SWAP.OKX": n.OKXInstrumentType.SWAP,
}


@pytest.fixture
def venue(venue_of: Callable[[str], Any]) -> Any:
    return venue_of("okx")


@pytest.fixture
def http(venue: Any) -> Any:
    account = venue.account
    return n.OKXHttpClient(
        api_key=account.key,
        api_secret=account.secret,
        api_passphrase=account.passphrase,
        base_url=venue.rest,
    )


@pytest.mark.parametrize("name", KINDS)
async def test_markets_trades_and_bars_are_parsed(http: Any, name: str) -> None:
    wanted = n.InstrumentId.from_str(name)
    instruments = await http.request_instruments(KINDS[name], None)
    assert wanted in [one.id for one in instruments]
    for one in instruments:
        http.add_instrument(one)
    assert await http.http_get_server_time() > 0
    assert await http.request_trades(wanted, None, None, 5)
    kind = n.BarType.from_str(f"{name}-1-MINUTE-LAST-EXTERNAL")
    assert len(await http.request_bars(kind, None, None, 3)) == 3


async def test_the_account_is_parsed(http: Any) -> None:
    assert (await http.request_account_state(ACCOUNT)).balances


async def test_orders_and_positions_of_an_idle_account_are_parsed(http: Any) -> None:
    swap = n.OKXInstrumentType.SWAP
    for one in await http.request_instruments(swap, None):
        http.add_instrument(one)
    assert await http.request_order_status_reports(ACCOUNT, swap, SWAP) == []
    assert await http.request_fill_reports(ACCOUNT, swap, SWAP) == []
    assert await http.request_position_status_reports(ACCOUNT, swap, SWAP) == []


async def test_public_streams_are_parsed(
    venue: Any, http: Any, until: Callable[..., Any]
) -> None:
    heard: list[str] = []

    def hear(message: Any) -> None:
        if type(message).__name__ == "PyCapsule":
            message = capsule_to_data(message)
        heard.append(type(message).__name__)

    instruments = await http.request_instruments(n.OKXInstrumentType.SWAP, None)
    link = n.OKXWebSocketClient(f"{venue.ws}/ws/v5/public", None, None, None, ACCOUNT)
    await link.connect(instruments, hear)
    await link.wait_until_active(5.0)
    for work in (
        link.subscribe_book(SWAP),
        link.subscribe_quotes(SWAP),
        link.subscribe_trades(SWAP, False),
        link.subscribe_mark_prices(SWAP),
        link.subscribe_funding_rates(SWAP),
    ):
        await work
    wanted = {
        "OrderBookDeltas", "QuoteTick", "TradeTick", "MarkPriceUpdate", "FundingRateUpdate",
    }  # fmt: skip
    await until(lambda: wanted <= set(heard), f"all of {sorted(wanted)}")
    await link.close()
