"""What a venue's list has no more can be cancelled and asked for all the same, at all five."""

from decimal import Decimal

import msgspec
import pytest

from oneprice.app.build import VENUES
from oneprice.app.config import VenueConfig
from oneprice.kernel import Tripwires
from oneprice.model import commands as cmd
from oneprice.model.events import InstrumentListed
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Nanos
from oneprice.shell.desk import Dialect
from oneprice.venues.contract import Credentials, Request

AT = Nanos(1_795_000_000 * 10**9)
GONE = {
    "bybit": ("linear", "GONEUSDT"),
    "binance": ("usdm", "GONEUSDT"),
    "okx": ("swap", "GONE-USDT-SWAP"),
    "kucoin": ("futures", "GONEUSDTM"),
    "bitmex": ("derivatives", "GONEUSDT"),
}


def a_gone(venue: str) -> Instrument:
    market, symbol = GONE[venue]
    return Instrument(
        id=f"{venue}:{market}:{symbol}", venue=venue, market=market, symbol=symbol,
        base="GONE", quote="USDT", settle="USDT",
        payoff=Payoff.LINEAR, tick=Decimal("0.1"), lot=Decimal(1), contract_value=Decimal("0.01"),
    )  # fmt: skip


def dialect(venue: str, entry: str) -> Dialect:
    market, symbol = GONE[venue]
    config = VenueConfig(
        name=venue, instruments=(f"{market}:{symbol}",), environment="testnet",
        order_entry=entry,  # type: ignore[arg-type]
    )  # fmt: skip
    return VENUES[venue](config, Credentials("k", "s", "p"), Tripwires())


def said(it: Dialect, *commands: cmd.AnyCommand) -> list[Request]:
    assert it.trade is not None
    return [request for command in commands for request in it.trade.encode(command, AT)]


@pytest.mark.parametrize("entry", ["ws", "rest"])
@pytest.mark.parametrize("venue", GONE)
def test_orders_in_what_is_gone_can_be_asked_for_and_cancelled(venue: str, entry: str) -> None:
    it, gone = dialect(venue, entry), a_gone(venue)
    name = gone.id
    asked = cmd.QueryOrder(order_id="abcg1o1", instrument=name)
    cancel = cmd.CancelOrder(order_id="abcg1o1", instrument=name)
    with pytest.raises(ValueError, match="listed"):
        said(it, asked)
    (told,) = it.feed.recalled(gone, AT)
    assert isinstance(told, InstrumentListed) and not told.instrument.tradable
    for command in (asked, cancel, cmd.CancelAll(instrument=name)):
        assert said(it, command), command
    assert it.trade is not None
    assert it.trade.batch([cancel, msgspec.structs.replace(cancel, order_id="abcg1o2")], AT)


@pytest.mark.parametrize("venue", GONE)
def test_what_the_venue_itself_lists_is_not_told_over(venue: str) -> None:
    it, gone = dialect(venue, "ws"), a_gone(venue)
    it.feed.recalled(gone, AT)
    other = msgspec.structs.replace(gone, tick=Decimal(5))
    assert not it.feed.recalled(other, AT)
    assert it.feed.listed[gone.id].tick == Decimal("0.1")
