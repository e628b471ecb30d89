"""KuCoin Classic: spot (HF endpoints) and futures (linear USDT, inverse USD), two hosts.

Source: KuCoin API docs, "Rate Limit", "Websocket Introduction", and the official SDK 1.3.2. Why
Classic and not the unified account: docs/decisions/0007-kucoin-classic.md. What the docs leave
open is a setting (`KucoinSettings` in orders.py) or fails safe.
"""

from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec
from oneprice.venues.kucoin.codes import REFUSALS

NAME = "kucoin"
MARKETS = ("spot", "futures")
HOSTS = {"spot": "spot_rest", "futures": "futures_rest"}
WINDOW_MS = 30_000

# The server drops a connection that did not ping for pingInterval + pingTimeout (18 + 10 s).
PING = Ping(b'{"id":"ping","type":"ping"}', every_ms=9_000, silence_ms=27_000)
_DAY_MS = 86_400_000
# Public pushes carry one topic path each, so one message can only ask for topics of one path.
_TOPICS_PER_REQUEST = 100
_CONNECT = (("connects", 1),)


def pool(bucket: str, count: int) -> Limit:
    """A weighted pool of 30 s; the header's reset is a span, not an instant, so it is not named.

    The venue's window starts at the first request; a rolling one is never kinder to us.
    """
    return Limit(
        bucket=bucket,
        count=count,
        per_ms=WINDOW_MS,
        left_header="gw-ratelimit-remaining",
        limit_header="gw-ratelimit-limit",
    )


def _socket(name: str, market: str, topics_max: int) -> SocketSpec:
    private = name.endswith("_private")
    return SocketSpec(
        name=name,
        role="private" if private else "public",
        market=market,
        host=HOSTS[market],
        path="",
        ping=PING,
        topics_per_request=_TOPICS_PER_REQUEST,
        same_until=":",
        topics_max=topics_max,
        requests_per_second=8.0,  # 100 messages in 10 s, pings included
        connect_cost=_CONNECT,
        life_ms=_DAY_MS,
        greets=True,
        needs_login=private,  # fixed topics, each acknowledged
        door="url",
    )


SPEC = Spec(
    name=NAME,
    markets=MARKETS,
    hosts={
        "live": {
            "spot_rest": "https://api.kucoin.com",
            "futures_rest": "https://api-futures.kucoin.com",
        },
        "eu": {  # one source only for these names
            "spot_rest": "https://api.kucoin.eu",
            "futures_rest": "https://api-futures.kucoin.eu",
        },
    },
    sockets=(
        _socket("spot", "spot", 300),
        _socket("futures", "futures", 100),  # the docs of 2023 say 100 here; harmless if dated
        _socket("spot_private", "spot", 300),
        _socket("futures_private", "futures", 100),
    ),
    limits=(
        pool("spot", 4000),
        pool("futures", 2000),
        pool("management", 2000),
        pool("public", 2000),
        Limit(bucket="doors", count=2000, per_ms=WINDOW_MS),
        Limit(bucket="connects", count=30, per_ms=60_000),
    ),
    refusals=REFUSALS,
    dead_man_markets=("spot",),  # none is documented for Classic futures
    fill_or_kill_markets=("spot",),  # futures document GTC and IOC alone
    # Not here although half there: amend (spot only, and there it is a cancel and a new order
    # whose client id nobody documents).
    features=frozenset(
        (
            "books",
            "book_sequence",
            "trades",
            "touch",
            "mark",
            "index",
            "funding",
            "funding_next",
            "funding_history",
            "candles",
            "candle_history",
            "order_entry_rest",
            "cancel",
            "cancel_all",
            "batch",
            "post_only",
            "fill_or_kill",
            "reduce_only",
            "self_trade_prevention",
            "dead_man_switch",
            "order_stream",
            "fill_stream",
            "position_stream",
            "balance_stream",
            "order_query",
            "account_query",
            "fill_query",
            "statement",
            "fee_query",
            "funding_booked",
            "position_mode",
            "leverage",
            "key_query",
        )
    ),
    clock_ahead_ms_max=4_000,  # a stamp more than 5 s off, either way, is refused
)
