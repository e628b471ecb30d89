"""Exchanges with a market that only the test moves."""

import pytest
from twinbench import Bench, still


@pytest.fixture
def bybit() -> Bench:
    return still("bybit")


@pytest.fixture
def binance() -> Bench:
    return still("binance")


@pytest.fixture
def bitmex() -> Bench:
    return still("bitmex")


@pytest.fixture
def okx() -> Bench:
    return still("okx")
