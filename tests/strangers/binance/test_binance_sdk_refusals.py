"""Every ordinary refusal as the venue's own SDKs raise it: class and code, one per reason."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from binance_reasons import CASES, REASONS, filled_in, login

pytest.importorskip("binance_sdk_spot", reason="the official SDK is not installed")
pytest.importorskip("binance_sdk_derivatives_trading_usds_futures")
pytest.importorskip("binance_sdk_derivatives_trading_coin_futures")

from binance_common import errors
from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_coin_futures import (
    derivatives_trading_coin_futures as coin_futures,
)
from binance_sdk_derivatives_trading_usds_futures import (
    derivatives_trading_usds_futures as usds_futures,
)
from binance_sdk_spot.spot import Spot

pytestmark = pytest.mark.stranger
KINDS = {
    "spot": Spot,
    "usdm": usds_futures.DerivativesTradingUsdsFutures,
    "coinm": coin_futures.DerivativesTradingCoinFutures,
}
VERBS = {
    ("spot", "place"): "new_order",
    ("spot", "cancel"): "delete_order",
    ("spot", "query"): "get_order",
    **{
        (product, verb): name
        for product in ("usdm", "coinm")
        for verb, name in {
            "place": "new_order",
            "cancel": "cancel_order",
            "query": "query_order",
            "amend": "modify_order",
            "leverage": "change_initial_leverage",
            "mode": "change_position_mode",
        }.items()
    },
}
NUMBERS = ("quantity", "price", "stop_price")
STATUS = {400: errors.BadRequestError, 401: errors.UnauthorizedError}


def snake(name: str) -> str:
    return re.sub("([A-Z])", lambda found: "_" + found[1].lower(), name)


def spoken(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the SDK names and types them."""
    named = {snake(name): value for name, value in params.items()}
    return {name: float(v) if name in NUMBERS else v for name, v in named.items()}


@pytest.fixture
def connect() -> Callable[..., Any]:
    def open_one(product: str, where: Any, key: str, secret: str) -> Any:
        settings = ConfigurationRestAPI(
            api_key=key, api_secret=secret, timeout=3000, base_path=where.rest, retries=0
        )
        return KINDS[product](config_rest_api=settings).rest_api

    return open_one


@pytest.mark.parametrize(("product", "name"), CASES)
def test_a_refusal_becomes_its_error(
    venue: Any, connect: Callable[..., Any], product: str, name: str
) -> None:
    reason = REASONS[product][name]
    rest = connect(product, venue, *login(reason, "refused-sdk", venue))
    call = getattr(rest, VERBS[product, reason.verb])
    with pytest.raises(errors.Error) as caught:
        call(**spoken(filled_in(reason, product, venue)))
    assert type(caught.value) is STATUS[reason.status]
    assert caught.value.status_code == reason.code  # the SDK keeps the venue's code there
    assert reason.text in caught.value.error_message


@pytest.mark.parametrize(("product", "code"), [("spot", -2010), ("usdm", -4116), ("coinm", -4116)])
def test_a_client_id_of_an_open_order_cannot_be_used_again(
    venue: Any, connect: Callable[..., Any], product: str, code: int
) -> None:
    account = venue.customers["refused-sdk"]
    rest = connect(product, venue, account.key, account.secret)
    symbol = "BTCUSD_PERP" if product == "coinm" else "BTCUSDT"
    order = {
        "symbol": symbol,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": 5.0 if product == "coinm" else 0.01,
        "price": float(venue.price(product, "0.97")),
        "new_client_order_id": f"sdk-twice-{product}",
    }
    rest.new_order(**order)
    with pytest.raises(errors.BadRequestError) as caught:
        rest.new_order(**order)
    assert caught.value.status_code == code
    cancel = getattr(rest, VERBS[product, "cancel"])
    ended = cancel(symbol, orig_client_order_id=order["new_client_order_id"]).data()
    assert ended.status == "CANCELED"


@pytest.mark.parametrize("product", KINDS)
@pytest.mark.parametrize(("offset_ms", "text"), [(-20_000, "outside of"), (4_000, "ahead of")])
def test_a_stamp_outside_the_window_is_refused(
    venue: Any,
    connect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    product: str,
    offset_ms: int,
    text: str,
) -> None:
    account = venue.customers["refused-sdk"]
    rest = connect(product, venue, account.key, account.secret)
    now = venue.running.twin.clock() // 1_000_000
    monkeypatch.setattr("binance_common.utils.get_timestamp", lambda: now + offset_ms)
    ask = {"spot": "get_account", "usdm": "account_information_v3", "coinm": "account_information"}
    with pytest.raises(errors.BadRequestError, match=text) as caught:
        getattr(rest, ask[product])()
    assert caught.value.status_code == -1021


@pytest.mark.parametrize("product", KINDS)
def test_used_up_limits_and_a_ban_have_errors_of_their_own(
    lone_venue: Any, connect: Callable[..., Any], product: str
) -> None:
    account = lone_venue.customers["owner"]
    rest = connect(product, lone_venue, account.key, account.secret)
    order = {
        "symbol": "BTCUSD_PERP" if product == "coinm" else "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": 5.0 if product == "coinm" else 0.01,
        "price": float(lone_venue.price(product, "0.97")),
    }
    told: list[errors.TooManyRequestsError] = []
    for _ in range(3):  # the calendar's window may end between the two
        lone_venue.use_up(product, orders=2_000, key=account.key)
        try:
            rest.new_order(**order)
        except errors.TooManyRequestsError as caught:
            told.append(caught)
            break
    for _ in range(3):
        lone_venue.use_up(product, weight=10_000)
        try:
            rest.exchange_info() if product == "spot" else rest.exchange_information()
        except errors.TooManyRequestsError as caught:
            told.append(caught)
            break
    assert [one.status_code for one in told] == [-1015, -1003]
    assert all(one.retry_after and one.retry_after >= 1 for one in told)
    until = lone_venue.running.twin.clock() + 120_000_000_000
    lone_venue.do(lambda: lone_venue.surface.limits[product].ban("127.0.0.1", until))
    with pytest.raises(errors.RateLimitBanError) as banned:
        rest.new_order(**order)
    assert banned.value.status_code == -1003
