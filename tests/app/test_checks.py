"""A configuration is judged before anything starts: place, what was found, what was expected."""

from pathlib import Path

import pytest

from oneprice.app.checks import check_market, check_run
from oneprice.app.config import ConfigError, RunConfig, load_config


def judged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "oneprice.toml"
    path.write_text(text)
    check_run(load_config(path))


def venue(*lines: str) -> str:
    return "\n".join(["[[venues]]", 'name = "bybit"', 'markets = ["linear"]', *lines, ""])


LIMITS = """
[engine.gate]
leg_notional_max = 1
venue_gross_max = 2
asset_net_max = 1
daily_loss_max = 1
"""
BITMEX = """
[[venues]]
name = "bitmex"
environment = "live"
instruments = ["derivatives:XBTUSD"]
"""


def test_with_its_limits_written_down_a_venue_may_be_real(tmp_path: Path) -> None:
    judged(tmp_path, venue('environment = "live"') + LIMITS)


def test_who_only_looks_needs_no_limits(tmp_path: Path) -> None:
    judged(tmp_path, "engine.trading = false\n" + venue('environment = "live"'))


def test_a_mode_from_outside_overrules_the_file_and_wants_the_same_limits(tmp_path: Path) -> None:
    path = tmp_path / "oneprice.toml"
    path.write_text(venue())
    with pytest.raises(ConfigError, match="environment live wants its limits written"):
        load_config(path, "live")
    path.write_text(venue() + LIMITS)
    assert load_config(path, "live").venues[0].environment == "live"
    assert load_config(path).venues[0].environment == "twin"


def test_what_runs_by_default_is_right() -> None:
    check_run(RunConfig())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seconds = -3", r"seconds: found -3.0, expected 0 \(until Ctrl-C\)"),
        ("seconds = inf", "seconds: found inf"),
        ("seconds = nan", "seconds: found nan"),
        ("market = 'sunny'", "market 'sunny': expected seed:N or tape:PATH"),
        ("market = 'seed:-1'", "market 'seed:-1': expected seed:N"),
        ("market = 'tape:/nowhere'", "market tape:/nowhere: no such file"),
        ('strategies = ["spot_futures", "spot_futures"]', "strategies: found 'spot_futures' tw"),
        ('strategies = ["spot_future"]', "did you mean 'spot_futures'"),
        ("[strategy.spot_futures]\nhold = 1", r"'strategy.spot_futures.hold'; did you mean 'hold"),
        ("[strategy.spot_futures]\nhold_ms = -1", "spot_futures.hold_ms: found -1, expected 0 or"),
        ('[strategy.spot_futures]\ninstruments = ["a:b:c"]', "instruments: found 'a:b:c'"),
        ("venues = []", "venues: found none, expected at least one"),
        (venue() + venue(), "venues: found 'bybit' twice"),
        (venue().replace("bybit", "bybitt"), r"venues\[0\].name: found 'bybitt'; did you mean"),
        (venue('instruments = ["linear:BTCUSDT"]'), "found markets beside instruments"),
        ('[[venues]]\nname = "bybit"\ninstruments = ["linear"]', "found 'linear', expected m"),
        ('[[venues]]\nname = "bybit"\ninstruments = ["lin:X"]', "instruments: found 'lin'; did"),
        (venue('environment = "moon"'), "environment: invalid enum value 'moon', expected .*live"),
        (venue('environment = "live"'), "leg_notional_max, .* missing; environment live wants"),
        (venue('environment = "live"') + LIMITS.replace("daily", "dayly"), "did you mean 'daily"),
        (BITMEX + LIMITS, "environment 'live': BitMEX closed"),
        (BITMEX + 'self_trade = "maker"' + LIMITS, "bitmex prevents no trade with oneself"),
        (venue('self_trade = "mine"'), "self_trade: .*'mine', expected one of: taker, maker"),
        (venue().replace("linear", "liner"), "markets: found 'liner'; did you mean 'linear'"),
        (venue().replace('"linear"', ""), r"venues\[0\].markets: found none"),
        (venue("symbols = []"), r"venues\[0\].symbols: found none"),
        (venue("depth = 0"), "depth: found 0, expected 1 or more levels"),
        (venue('order_entry = "fax"'), "order_entry: invalid enum value 'fax', expected .*ws"),
        (venue('endpoints = {fax = "http://h"}'), "endpoints: found 'fax'; expected one of: rest"),
        (venue('endpoints = {rest = "h:80"}'), "rest: found 'h:80', expected https://HOST"),
        (venue('endpoints = {ws = "https://h"}'), "ws: found 'https://h', expected wss://HOST"),
        ("[engine.gate]\nleg_notional_max = nan", "leg_notional_max: found NaN, expected a"),
        ("[engine.gate]\nbook_age_ms_max = -1", "book_age_ms_max: found -1, expected 0 or more"),
        ("[engine.gate]\nbook_age_ms_max = 1.5", "gate.book_age_ms_max: expected `int`, got"),
        ("[engine]\non_stop = 'panic'", "engine.on_stop: .*'panic', expected one of: close, keep"),
        ("[engine]\ninstruments = ['bybit:spot:X']", "engine.instruments: found 'bybit:spot:X'"),
        ("[engine]\nreporting = 'USDTT'", "engine.reporting: found 'USDTT'.*did you mean 'USDT'"),
        ("[engine]\nreporting = ''", "engine.reporting: found ''"),
        ("journal_interval_ms = 0", "journal_interval_ms: found 0, expected 1 or more"),
        ("journal_sync = 'often'", "journal_sync: .*'often', expected one of: never, interval"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        judged(tmp_path, text)


def test_an_edge_below_zero_may_be_asked_for(tmp_path: Path) -> None:
    judged(tmp_path, "[engine.gate]\nnet_bps_min = -5\nnet_min = -1")


def test_venues_with_endpoints_need_no_market(tmp_path: Path) -> None:
    whole = 'endpoints = {rest = "http://127.0.0.1:1", ws = "ws://127.0.0.1:1", '
    whole += 'ws_private = "ws://127.0.0.1:1"}'
    judged(tmp_path, "market = 'none'\n" + venue(whole))


def test_half_a_venue_is_never_filled_up_with_the_live_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="endpoints: ws, ws_private missing; name every"):
        judged(tmp_path, venue('endpoints = {rest = "http://127.0.0.1:1"}'))


def test_a_market_of_any_seed_is_fine() -> None:
    for market in ("seed:0", "seed:7", f"seed:{2**63 - 1}"):
        check_market(market)
    with pytest.raises(ConfigError, match="below 2"):
        check_market(f"seed:{2**63}")


def test_bytes_that_are_no_text_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"seconds = \xff\xfe")
    with pytest.raises(ConfigError, match=r"x\.toml: not TOML: byte 10 is not UTF-8"):
        load_config(path)
