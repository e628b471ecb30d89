"""The doctor over twins in the same loop: what is well, and each thing that speaks against it."""

from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import time_ns

import msgspec
import pytest

from oneprice.app import doctor
from oneprice.app.build import spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.doctor import Diagnosis, Finding, examine
from oneprice.app.lab import twin_endpoints
from oneprice.model.settings import AccountSettings, EngineSettings
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_account

INSTRUMENTS = {
    "bybit": ("linear:BTCUSDT",),
    "binance": ("spot:BTCUSDT", "usdm:BTCUSDT"),
    "okx": ("spot:BTC-USDT", "swap:BTC-USDT-SWAP"),
}


class Ward:
    """Twins, keys in the environment, and a configuration that names both."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.twins: dict[str, RunningTwin] = {}

    async def admit(
        self, venue: str, *, ahead_ns: int = 0, **account: object
    ) -> VenueConfig:
        """A twin whose account differs from the usual one as named."""
        spec = msgspec.structs.replace(default_account(venue), **account)
        clock = partial(_clock, ahead_ns)
        twin = await serve(make_twin(venue, clock, World(seed=5), accounts=(spec,)))
        self.twins[venue] = twin
        self.keys(venue, spec.key, spec.secret, spec.passphrase)
        ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
        return VenueConfig(name=venue, instruments=INSTRUMENTS[venue], endpoints=ends)

    def keys(self, venue: str, key: str, secret: str, passphrase: str = "") -> None:
        for name, value in (("KEY", key), ("SECRET", secret), ("PASSPHRASE", passphrase)):
            self.patch.setenv(f"ONEPRICE_{venue.upper()}_{name}", value)

    async def close(self) -> None:
        for twin in self.twins.values():
            await twin.close()


def _clock(shift: int) -> int:
    return time_ns() + shift


@pytest.fixture
async def ward(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ward]:
    for venue in INSTRUMENTS:
        for name in ("KEY", "SECRET", "PASSPHRASE"):
            monkeypatch.delenv(f"ONEPRICE_{venue.upper()}_{name}", raising=False)
    made = Ward(monkeypatch)
    yield made
    await made.close()


async def examined(*venues: VenueConfig, account: AccountSettings | None = None) -> Diagnosis:
    engine = EngineSettings(account=account or AccountSettings())
    return await examine(RunConfig(venues=venues, engine=engine))


def of(diagnosis: Diagnosis, what: str, venue: str = "") -> Finding:
    """The one finding about something."""
    found = [f for f in diagnosis.findings if f.what == what and venue in ("", f.venue)]
    assert len(found) == 1, diagnosis.findings
    return found[0]


def bad(diagnosis: Diagnosis) -> list[str]:
    return [f.what for f in diagnosis.findings if f.mark == "bad"]


async def test_where_all_is_well_everything_is_said_once(ward: Ward) -> None:
    told = await examined(await ward.admit("bybit"), await ward.admit("binance"))
    assert told.ok
    assert bad(told) == []
    for venue, markets in (("bybit", ["linear"]), ("binance", ["spot", "usdm"])):
        for what in ("reachable", "clock", "instruments", "sockets", "key"):
            assert of(told, what, venue).mark == "ok"
        for market in markets:
            assert "maker" in of(told, f"{market} fees", venue).found
    assert of(told, "linear position mode").found == "one way"
    assert "BTCUSDT 10" in of(told, "linear leverage").found
    for what in ("kernel", "disk", "oneprice", "python", "libraries"):
        assert of(told, what).venue == ""


async def test_the_document_has_the_shape_that_scripts_rely_on(ward: Ward) -> None:
    told = await examined(await ward.admit("bybit"))
    document = msgspec.json.decode(msgspec.json.encode(told))
    assert set(document) == {"ok", "findings"}
    assert document["ok"] is True
    for finding in document["findings"]:
        assert set(finding) == {"venue", "what", "mark", "found"}
        assert finding["mark"] in ("ok", "note", "bad")


async def test_a_key_that_may_withdraw_is_bad(ward: Ward) -> None:
    venue = await ward.admit("bybit", can_withdraw=True)
    told = await examined(venue)
    assert not told.ok
    assert bad(told) == ["key"]
    assert of(told, "key").found == "it may withdraw: make one that cannot"


async def test_a_key_that_may_withdraw_is_a_note_where_the_file_allows_it(ward: Ward) -> None:
    venue = await ward.admit("binance", can_withdraw=True)
    told = await examined(venue, account=AccountSettings(withdrawal_keys=True))
    assert told.ok
    assert of(told, "key").mark == "note"
    assert "may withdraw" in of(told, "key").found


async def test_a_key_that_may_only_read_is_bad(ward: Ward) -> None:
    told = await examined(await ward.admit("bybit", read_only=True))
    assert of(told, "key").found == "it may not trade"
    assert of(told, "key").mark == "bad"


@pytest.mark.parametrize("venue", ["bybit", "binance", "okx"])
async def test_a_wrong_secret_is_told_soon_and_logs_in_nowhere(ward: Ward, venue: str) -> None:
    patient = await ward.admit(venue)
    twin = ward.twins[venue].twin
    ward.keys(venue, twin.exchange.accounts()[0].key, "quite-another-secret", "and-word")
    began = time_ns()
    told = await examined(patient)
    assert time_ns() - began < 8_000_000_000
    assert bad(told) == ["key"]
    assert "refused" in of(told, "key").found
    assert of(told, "sockets").mark == "ok"
    assert "quite-another" not in repr(told)


async def test_hedge_mode_is_bad_and_a_note_where_it_may_be_changed(ward: Ward) -> None:
    venue = await ward.admit("bybit")
    exchange = ward.twins["bybit"].twin.exchange
    exchange.set_hedge_mode(exchange.accounts()[0].key, "linear", True, time_ns())
    told = await examined(venue)
    assert bad(told) == ["linear position mode"]
    assert "hedge" in of(told, "linear position mode").found
    told = await examined(venue, account=AccountSettings(adjust=True))
    assert of(told, "linear position mode").mark == "note"


async def test_a_leverage_other_than_the_one_named_is_bad(ward: Ward) -> None:
    named = AccountSettings(leverage={"bybit:linear": Decimal(3)})
    told = await examined(await ward.admit("bybit"), account=named)
    assert bad(told) == ["linear leverage"]
    assert of(told, "linear leverage").found == "bybit:linear:BTCUSDT: found 10, expected 3"


async def test_who_cannot_be_reached_is_bad_and_spoils_nothing_else(ward: Ward) -> None:
    there = await ward.admit("bybit")
    nowhere = await ward.admit("okx")
    await ward.twins.pop("okx").close()
    told = await examined(there, nowhere)
    assert bad(told) == ["reachable"]
    assert "okx: no answer from http://127.0.0.1:" in of(told, "reachable", "okx").found
    assert of(told, "sockets", "bybit").mark == "ok"


async def test_a_symbol_that_is_not_listed_is_named(ward: Ward) -> None:
    venue = await ward.admit("bybit")
    told = await examined(msgspec.structs.replace(venue, instruments=("linear:BTCUSDC",)))
    assert bad(told) == ["instruments"]
    found = of(told, "instruments").found
    assert found.startswith("'bybit:linear:BTCUSDC' is not listed; did you mean ")


async def test_without_keys_who_means_to_trade_is_told(ward: Ward) -> None:
    venue = await ward.admit("bybit")
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        ward.patch.delenv(f"ONEPRICE_BYBIT_{name}")
    assert bad(await examined(venue)) == ["key"]
    config = RunConfig(venues=(venue,), engine=EngineSettings(trading=False))
    told = await examine(config)
    assert told.ok
    assert of(told, "key").mark == "note"


async def test_a_closed_venue_cannot_be_traded_for_real(ward: Ward) -> None:
    gone = VenueConfig(
        name="bitmex", instruments=("derivatives:XBTUSD",), environment="live"
    )
    told = await examined(gone)
    assert bad(told) == ["venue"]
    assert of(told, "venue").found.startswith("BitMEX closed")


async def test_a_clock_that_is_far_off_is_noted(ward: Ward) -> None:
    told = await examined(await ward.admit("bybit", ahead_ns=-5_000_000_000))
    assert of(told, "clock").mark == "note"
    assert "behind ours" in of(told, "clock").found
    assert told.ok


def test_a_disk_that_is_nearly_full_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DISK_BYTES_MIN", 0)
    assert [f.mark for f in doctor.machine(tmp_path) if f.what == "disk"] == ["ok"]
    monkeypatch.setattr(doctor, "DISK_BYTES_MIN", 10**18)
    assert [f.mark for f in doctor.machine(tmp_path) if f.what == "disk"] == ["bad"]
