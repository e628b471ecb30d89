"""Bybit v5: spot, linear and inverse on one unified account.

Facts with their source: Bybit v5 docs, "Integration Guidance", "Rate Limit Rules", "WebSocket
Connect". What the docs leave open stays a setting (`BybitSettings` in trade.py).
"""

from oneprice.venues.bybit.codes import REFUSALS
from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec

NAME = "bybit"
MARKETS = ("spot", "linear", "inverse")
DEPTHS = (1, 50, 200, 1000)  # 500 was withdrawn in September 2025

# The docs advise a ping every 20 s; twice as often costs nothing and finds a dead line sooner.
PING = Ping(b'{"op":"ping"}', every_ms=10_000, silence_ms=25_000)


def pace_of(market: str) -> str:
    """The group of markets that shares one allowance per user."""
    return "spot" if market == "spot" else "derivatives"


def _limit(bucket: str, count: int) -> Limit:
    return Limit(
        bucket=bucket,
        count=count,
        per_ms=1000,
        left_header="x-bapi-limit-status",
        reset_header="x-bapi-limit-reset-timestamp",
    )


_PER_SECOND = {
    "create:spot": 20,
    "create:derivatives": 10,
    "amend:spot": 10,
    "amend:derivatives": 10,
    "cancel:spot": 20,
    "cancel:derivatives": 10,
    "cancel_all:spot": 20,
    "cancel_all:derivatives": 10,
    "realtime": 50,
    "history": 50,
    "executions": 50,
    "positions": 50,
    "wallet": 50,
    "log": 25,
    "fees": 5,
}

# 500 connections in five minutes per domain, shared by the five kinds of socket.
_CONNECTS = 100

SPEC = Spec(
    name=NAME,
    markets=MARKETS,
    hosts={
        "live": {"rest": "https://api.bybit.com", "ws": "wss://stream.bybit.com"},
        "testnet": {
            "rest": "https://api-testnet.bybit.com",
            "ws": "wss://stream-testnet.bybit.com",
        },
    },
    sockets=(
        *(
            SocketSpec(
                name=market,
                role="public",
                market=market,
                host="ws",
                path=f"/v5/public/{market}",
                ping=PING,
                topics_per_request=10,  # stated for spot; harmless elsewhere
                args_chars_max=21_000,
                connects_per_5min=_CONNECTS,
            )
            for market in MARKETS
        ),
        SocketSpec(
            name="private",
            role="private",
            market="",
            host="ws",
            path="/v5/private",
            ping=PING,
            connects_per_5min=_CONNECTS,
            needs_login=True,
        ),
        SocketSpec(
            name="trade",
            role="orders",
            market="",
            host="ws",
            path="/v5/trade",
            ping=PING,
            requests_per_second=200.0,  # the buckets below bind first; 3000 per IP
            connects_per_5min=_CONNECTS,
            needs_login=True,
        ),
    ),
    limits=(
        Limit(bucket="ip", count=600, per_ms=5000),
        *(_limit(bucket, count) for bucket, count in _PER_SECOND.items()),
    ),
    refusals=REFUSALS,
    features=frozenset(
        ("amend", "cancel_all", "post_only", "reduce_only", "order_socket", "query_by_client_id")
    ),
    clock_ahead_ms_max=900,  # a stamp 1000 ms ahead is refused whatever the window
)
