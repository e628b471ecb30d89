"""The end of a run says what each day earned, what was settled and what was transferred."""

from decimal import Decimal

import msgspec
import pytest
from tests.core.test_money_recall import a_life

from oneprice.app.summary import (
    FundingOfDay,
    Latency,
    Summary,
    funding_by_day,
    pnl_by_day,
    transferred,
)
from oneprice.cli.screen import print_summary

BARE = Summary(
    seconds=1.0, frames=1, intents=0, refused={}, groups={}, orders=0, fills=0,
    pnl={"basis": "1", "currency": "0"}, earned="1", equity_change="1", ledger_residual="0",
    resyncs=0, latency_us=Latency(None, None), clutch="closed", failure="", left=[],
    discrepancies=[], rejected_frames={}, reconnects=0, turns=0, kernel="native", session="s",
)  # fmt: skip


def shown(summary: Summary, capsys: pytest.CaptureFixture[str]) -> str:
    print_summary(summary)
    return capsys.readouterr().out


def test_days_of_profit_add_up_to_the_whole_of_each_cause_and_are_in_the_json() -> None:
    report = a_life().engine.report
    days = pnl_by_day(report)
    assert list(days) == ["2027-01-15", "2027-01-16", "2027-01-17"]
    for cause, amount in report.profit().items():
        told = sum((Decimal(day.get(cause, "0")) for day in days.values()), Decimal(0))
        assert told == amount, cause
    summary = msgspec.structs.replace(
        BARE,
        pnl_by_day=days,
        funding_by_day=funding_by_day(report),
        transferred=transferred(report),
    )
    told = msgspec.json.decode(msgspec.json.encode(summary))
    assert told["transferred"] == {"alpha/unified/USDT": "300"}
    assert [one["booked"] for one in told["funding_by_day"]] == ["-0.25"] * 3
    assert told["pnl_by_day"] == days


def test_a_person_is_told_of_days_settlements_and_transfers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    report = a_life().engine.report
    summary = msgspec.structs.replace(
        BARE,
        pnl_by_day=pnl_by_day(report),
        funding_by_day=funding_by_day(report),
        transferred=transferred(report),
    )
    text = shown(summary, capsys)
    assert "on 2027-01-16" in text and "funding -0.2500" in text
    assert "funding 2027-01-16 alpha:linear:BTCUSDT" in text and "-0.25 USDT in 1" in text
    assert "transferred alpha unified USDT" in text and "+300" in text


def test_where_there_is_nothing_to_say_nothing_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one_day = msgspec.structs.replace(BARE, pnl_by_day={"2027-01-15": {"basis": "1"}})
    assert shown(one_day, capsys) == shown(BARE, capsys)
    assert "transferred" not in shown(BARE, capsys)


def test_of_a_long_session_the_last_days_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    days = {f"2027-01-{day:02}": {"basis": "1"} for day in range(1, 31)}
    paid = [
        FundingOfDay(
            day=day, instrument="a:b:C", asset="USDT", settlements=3, booked="-1",
            expected="-1", surprise="0",
        )
        for day in days
    ]  # fmt: skip
    text = shown(
        msgspec.structs.replace(BARE, pnl_by_day=days, funding_by_day=paid), capsys
    )
    assert text.count("on 2027") == 7 and text.count("funding 2027") == 7
    assert "on 2027-01-30" in text and "on 2027-01-23" not in text


def test_a_summary_of_the_last_version_is_still_read() -> None:
    old = {
        name: value
        for name, value in msgspec.to_builtins(BARE).items()
        if name not in ("pnl_by_day", "funding_by_day", "transferred")
    }
    assert msgspec.convert(old, Summary) == BARE
