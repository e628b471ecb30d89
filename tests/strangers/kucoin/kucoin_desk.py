"""The venue's own SDK as the test modules hold it, and what its callbacks bring."""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from kucoin_universal_sdk.api import DefaultClient
from kucoin_universal_sdk.generate.futures import market as futures_market
from kucoin_universal_sdk.generate.spot import market as spot_market
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder
from kucoin_universal_sdk.model.websocket_option import WebSocketClientOptionBuilder

BTC, XBT = "BTC-USDT", "XBTUSDTM"
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"sdk-{next(_numbers)}"


def make(venue: Any, keys: tuple[str, str, str]) -> Any:
    option = (
        ClientOptionBuilder()
        .set_key(keys[0])
        .set_secret(keys[1])
        .set_passphrase(keys[2])
        .set_spot_endpoint(venue.rest)
        .set_futures_endpoint(venue.futures)
        .set_broker_endpoint(venue.rest)
        .set_transport_option(TransportOptionBuilder().build())
        .set_websocket_client_option(WebSocketClientOptionBuilder().build())
        .build()
    )
    return DefaultClient(option)


class Services:
    """The SDK's services by shorter names."""

    def __init__(self, client: Any) -> None:
        rest = client.rest_service()
        spot, futures = rest.get_spot_service(), rest.get_futures_service()
        account = rest.get_account_service()
        self.spot, self.spot_market = spot.get_order_api(), spot.get_market_api()
        self.futures, self.futures_market = futures.get_order_api(), futures.get_market_api()
        self.positions, self.funding = futures.get_positions_api(), futures.get_funding_fees_api()
        self.account, self.fee = account.get_account_api(), account.get_fee_api()
        self.transfer = account.get_transfer_api()
        self.streams = client.ws_service()


def request(kind: Any, **fields: Any) -> Any:
    return kind.from_dict(fields)


def below(sdk: Services, spot: bool) -> str:
    if spot:
        ask = sdk.spot_market.get_ticker(request(spot_market.GetTickerReq, symbol=BTC)).best_ask
    else:
        wanted = request(futures_market.GetTickerReq, symbol=XBT)
        ask = sdk.futures_market.get_ticker(wanted).best_ask_price
    return str((Decimal(ask) * Decimal("0.99")).quantize(Decimal("0.1")))


def spot_limit(client: str, price: str, **fields: Any) -> dict[str, Any]:
    usual = {"clientOid": client, "symbol": BTC, "side": "buy", "type": "limit"}
    return usual | {"price": price, "size": "0.001"} | fields


def contract_limit(client: str, price: str, **fields: Any) -> dict[str, Any]:
    usual = {"clientOid": client, "symbol": XBT, "side": "buy", "type": "limit", "leverage": 5}
    return usual | {"price": price, "size": 10} | fields


class Heard:
    """What a callback was called with."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._news = threading.Condition()

    def __call__(self, topic: str, subject: str, data: Any) -> None:
        with self._news:
            self.events.append(data)
            self._news.notify_all()

    def wait(self, wanted: Callable[[list[Any]], Any], seconds: float = 30.0) -> Any:
        with self._news:
            assert self._news.wait_for(lambda: wanted(self.events), seconds), "nothing was heard"
            return wanted(self.events)
