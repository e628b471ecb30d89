"""The venue's own SDK, whose typed models are the strictest readers, trades on the twin."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("binance_sdk_spot", reason="the official SDK is not installed")
pytest.importorskip(
    "binance_sdk_derivatives_trading_usds_futures", reason="the official SDK is not installed"
)

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_derivatives_trading_usds_futures import (
    derivatives_trading_usds_futures as futures,
)
from binance_sdk_spot.spot import Spot

pytestmark = [
    pytest.mark.stranger,
    # This client leaves sessions of its own open at the end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SYMBOL = "BTCUSDT"


def client(kind: Any, venue: Any, api: str) -> Any:
    login = {"api_key": venue.account.key, "api_secret": venue.account.secret, "timeout": 3000}
    return kind(
        config_rest_api=ConfigurationRestAPI(**login, base_path=venue.rest),
        config_ws_api=ConfigurationWebSocketAPI(**login, stream_url=venue.ws + api),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=venue.ws),
    )


@pytest.fixture
def spot(venue: Any) -> Any:
    return client(Spot, venue, "/ws-api/v3")


@pytest.fixture
def perp(venue: Any) -> Any:
    return client(futures.DerivativesTradingUsdsFutures, venue, "/ws-fapi/v1")


@pytest.fixture(autouse=True)
def _types_must_match(caplog: pytest.LogCaptureFixture) -> Any:
    """The SDK only warns when an answer does not fit its models; here that fails the test."""
    caplog.set_level(logging.WARNING)
    yield
    assert "did not match the declared types" not in caplog.text


def read_all(calls: list[Callable[[], Any]]) -> None:
    for call in calls:
        assert call().data() is not None


def test_spot_answers_fit_the_models(spot: Any) -> None:
    rest = spot.rest_api
    read_all(
        [
            rest.time,
            lambda: rest.exchange_info(symbol=SYMBOL),
            lambda: rest.depth(SYMBOL, limit=5),
            lambda: rest.get_trades(SYMBOL, limit=2),
            lambda: rest.agg_trades(SYMBOL, limit=2),
            lambda: rest.klines(SYMBOL, "1m", limit=2),
            lambda: rest.ticker24hr(symbol=SYMBOL),
            lambda: rest.ticker_book_ticker(symbol=SYMBOL),
            lambda: rest.ticker_price(symbol=SYMBOL),
            rest.get_account,
            lambda: rest.account_commission(SYMBOL),
            rest.rate_limit_order,
        ]
    )


def test_spot_order_life_by_rest(spot: Any) -> None:
    rest = spot.rest_api
    price = round(float(rest.depth(SYMBOL, limit=5).data().bids[0][0]) * 0.97, 2)
    limit = {"time_in_force": "GTC", "quantity": 0.01, "price": price}
    made = rest.new_order(SYMBOL, "BUY", "LIMIT", **limit, new_client_order_id="sdk-1").data()
    assert rest.get_order(SYMBOL, orig_client_order_id="sdk-1").data().status == "NEW"
    swapped = rest.order_cancel_replace(
        SYMBOL, "BUY", "LIMIT", "STOP_ON_FAILURE", **limit, cancel_order_id=made.order_id
    ).data()
    assert swapped.cancel_result == "SUCCESS"
    order_id = swapped.new_order_response.order_id
    assert rest.delete_order(SYMBOL, order_id=order_id).data().status == "CANCELED"
    bought = rest.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01).data()
    assert bought.status == "FILLED"
    assert bought.order_id in [row.order_id for row in rest.my_trades(SYMBOL).data()]
    with pytest.raises(BadRequestError, match="2013"):
        rest.get_order(SYMBOL, order_id=1)


def test_futures_answers_fit_the_models(perp: Any) -> None:
    rest = perp.rest_api
    read_all(
        [
            rest.check_server_time,
            rest.exchange_information,
            lambda: rest.order_book(SYMBOL, limit=5),
            lambda: rest.mark_price(symbol=SYMBOL),
            lambda: rest.get_funding_rate_history(symbol=SYMBOL, limit=2),
            rest.get_funding_rate_info,
            lambda: rest.kline_candlestick_data(SYMBOL, "1m", limit=2),
            lambda: rest.mark_price_kline_candlestick_data(SYMBOL, "1m", limit=2),
            lambda: rest.open_interest(SYMBOL),
            rest.futures_account_balance_v2,
            rest.futures_account_balance_v3,
            rest.account_information_v2,
            rest.account_information_v3,
            rest.position_information_v2,
            rest.position_information_v3,
            rest.futures_account_configuration,
            lambda: rest.symbol_configuration(symbol=SYMBOL),
            lambda: rest.user_commission_rate(SYMBOL),
            rest.notional_and_leverage_brackets,
            rest.get_income_history,
            rest.get_current_position_mode,
            rest.query_user_rate_limit,
        ]
    )


def test_futures_order_life_by_rest(perp: Any) -> None:
    rest = perp.rest_api
    price = round(float(rest.order_book(SYMBOL, limit=5).data().bids[0][0]) * 0.97, 1)
    made = rest.new_order(
        SYMBOL,
        "BUY",
        "LIMIT",
        time_in_force="GTX",
        quantity=0.01,
        price=price,
        new_client_order_id="sdk.1",
    ).data()
    changed = rest.modify_order(SYMBOL, "BUY", 0.02, price, order_id=made.order_id).data()
    assert changed.orig_qty == "0.020"
    assert rest.query_order(SYMBOL, orig_client_order_id="sdk.1").data().status == "NEW"
    assert rest.auto_cancel_all_open_orders(SYMBOL, 60_000).data().countdown_time == "60000"
    assert rest.cancel_order(SYMBOL, order_id=made.order_id).data().status == "CANCELED"
    rest.auto_cancel_all_open_orders(SYMBOL, 0)
    rest.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01)
    assert rest.account_trade_list(SYMBOL).data()[-1].qty
    rest.new_order(SYMBOL, "SELL", "MARKET", quantity=0.01, reduce_only="true")


async def soon(what: Awaitable[Any]) -> Any:
    return (await asyncio.wait_for(what, 30)).data()


async def test_orders_by_websocket_api(spot: Any, perp: Any) -> None:
    link = await spot.websocket_api.create_connection()
    price = round(float((await soon(link.depth(SYMBOL, limit=5))).result.bids[0][0]) * 0.97, 1)
    subscribed = await asyncio.wait_for(link.user_data_stream_subscribe_signature(), 30)
    assert subscribed.response.data().result.subscription_id == 0
    limit = {"time_in_force": "GTC", "price": price, "quantity": 0.01}
    await soon(link.order_place(SYMBOL, "BUY", "LIMIT", **limit, new_client_order_id="ws-1"))
    ended = await soon(link.order_cancel(SYMBOL, orig_client_order_id="ws-1"))
    assert ended.result.status == "CANCELED"
    await link.close_connection(close_session=True)
    link = await perp.websocket_api.create_connection()
    await soon(link.new_order(SYMBOL, "BUY", "LIMIT", **limit, new_client_order_id="ws.1"))
    await soon(link.modify_order(SYMBOL, "BUY", 0.02, price, orig_client_order_id="ws.1"))
    ended = await soon(link.cancel_order(SYMBOL, orig_client_order_id="ws.1"))
    assert ended.result.status == "CANCELED"
    await link.close_connection(close_session=True)


async def heard(handle: Any) -> Any:
    first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    handle.on("message", lambda message: None if first.done() else first.set_result(message))
    return await asyncio.wait_for(first, 30)


async def test_streams_of_both_products_are_routed_and_push(spot: Any, perp: Any) -> None:
    link = await spot.websocket_streams.create_connection()
    assert (await heard(await link.diff_book_depth(symbol="btcusdt"))).U
    assert (await heard(await link.book_ticker(symbol="btcusdt"))).B
    assert (await heard(await link.trade(symbol="btcusdt"))).t
    await link.close_connection(close_session=True)
    link = await perp.websocket_streams.create_connection()
    assert (await heard(await link.diff_book_depth_streams(symbol="btcusdt"))).pu
    assert (await heard(await link.mark_price_stream(symbol="btcusdt"))).r
    key = perp.rest_api.start_user_data_stream().data().listen_key
    user = asyncio.ensure_future(heard(await link.user_data(key)))
    await asyncio.sleep(0.2)
    perp.rest_api.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01)
    assert type((await user).actual_instance).__name__ == "OrderTradeUpdate"
    perp.rest_api.new_order(SYMBOL, "SELL", "MARKET", quantity=0.01, reduce_only="true")
    await link.close_connection(close_session=True)
