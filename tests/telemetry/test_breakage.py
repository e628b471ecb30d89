"""Sentry: an error arrives at a real listener, without locals, people or secrets."""

import gzip
import json
from typing import Any

import pytest
import sentry_sdk
from listening import Ear

from oneprice.app.breakage import BreakageMissing, start_sentry, veiled_event
from oneprice.shell.telemetry_veil import VEIL

SECRET = "sentry-known-secret-17"


def event_of(body: bytes) -> dict[str, Any]:
    """The event of an envelope: header, item header, item."""
    plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    parts = plain.split(b"\n")
    return json.loads(parts[2])


async def test_an_error_is_told_without_what_it_held(ear: Ear) -> None:
    VEIL.keep(SECRET)
    dsn = f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{ear.port}/7"
    report, close = start_sentry(dsn, "s1")
    try:
        local = f"{SECRET} in a local variable"
        raise ValueError(f"cannot sign with {local}; api_key=unknown-to-anybody")
    except ValueError as error:
        report("turn", error)
    await ear.until(lambda: bool(ear.bodies))
    close()
    sentry_sdk.init()  # deaf again
    text = ear.bodies[0] if ear.bodies[0][:2] != b"\x1f\x8b" else gzip.decompress(ear.bodies[0])
    assert SECRET.encode() not in text and b"unknown-to-anybody" not in text
    event = event_of(ear.bodies[0])
    raised = event["exception"]["values"][-1]
    assert raised["type"] == "ValueError"
    assert raised["value"].startswith("cannot sign with *** in a local variable")
    assert event["tags"] == {"where": "turn", "session": "s1"}
    assert not any(frame.get("vars") for frame in raised["stacktrace"]["frames"])
    assert not {"user", "server_name", "request", "breadcrumbs"} & set(event)


def test_whatever_an_event_holds_nothing_known_leaves() -> None:
    VEIL.keep(SECRET)
    event = {
        "user": {"id": 1},
        "server_name": "somebodys-laptop",
        "exception": {"values": [{"value": SECRET, "frames": [{"vars": {"a": "b"}}]}]},
        "contexts": {"x": {"secret": "anything", SECRET: [SECRET, 1, None, 2.5, True]}},
    }
    told = veiled_event(event, {})
    assert SECRET not in json.dumps(told) and "anything" not in json.dumps(told)
    assert told["exception"]["values"][0]["frames"] == [{"vars": None}]
    assert told["contexts"]["x"]["***"] == ["***", 1, None, 2.5, True]
    assert "user" not in told and "server_name" not in told


def test_a_wrong_address_is_refused_without_its_key() -> None:
    with pytest.raises(BreakageMissing, match="Sentry DSN") as told:
        start_sentry("ftp://0123456789abcdef@host", "s1")
    assert "0123456789abcdef@" not in str(told.value)
