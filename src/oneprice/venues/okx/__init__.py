"""OKX v5: spot, swaps and dated futures on one trading account.

Facts with their source: the official API v5 documentation (state of July 2026) and its change
log. What it leaves open is a setting (`OkxSettings` in orders.py).
"""

from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec
from oneprice.venues.okx.codes import REFUSALS

NAME = "okx"
WALLET = "unified"

# The connection is cut after 30 s without a push; the venue asks for a text "ping" before that
# ("Connect", WebSocket API). 18 s leaves room for one lost round.
_PING = Ping(payload=b"ping", every_ms=18_000, silence_ms=30_000)
_CONNECT = (("connects", 1),)
_SUBSCRIBES_PER_SECOND = 0.5  # 480 subscribe, unsubscribe and login requests an hour each


def _public(name: str) -> SocketSpec:
    return SocketSpec(
        name=name,
        role="public",
        market="",
        host="ws",
        path=f"/ws/v5/{name}",
        ping=_PING,
        topics_per_request=50,
        # "fewer than 30 deep-book subscriptions per connection": with up to five more channels
        # for each book this stays below it.
        topics_max=120,
        args_chars_max=64 * 1024,
        requests_per_second=_SUBSCRIBES_PER_SECOND,
        connect_cost=_CONNECT,
    )


# Allowances in two seconds, as published. Field reports see refusals at exactly that rate, so we
# let the two seconds last longer (`slack_ms`) rather than count to less: small counts keep whole.
_SLACK_MS = 30
_PER_TWO_SECONDS = {
    "account_orders": 1000,  # new and amended orders of a sub-account, however they are sent
    "order_query": 60,  # per instrument, too, but who asks of one asks of all
    "pending": 60,
    "fills": 60,
    "fills_history": 10,
    "bills_archive": 5,
    "balance": 10,
    "positions": 10,
    "config": 5,
    "fees": 5,
    "set_mode": 5,
    "leverage": 20,
    "set_leverage": 20,
    "instruments": 20,
    "time": 10,
    "candle_history": 20,
    "mark_history": 20,
    "index_history": 10,
    "funding_history": 10,
}
_PER_INSTRUMENT = {
    "place": 60,
    "amend": 60,
    "cancel": 60,
    "place_many": 300,
    "amend_many": 300,
    "cancel_many": 300,
}

_FEATURES = (
    "books book_sequence trades touch mark index funding funding_history mark_history"
    " index_history candles candle_history order_entry_rest order_entry_socket amend cancel"
    " cancel_all batch post_only fill_or_kill reduce_only self_trade_prevention dead_man_switch"
    " order_stream fill_stream position_stream balance_stream order_query account_query"
    " fill_query statement fee_query funding_booked"
    " position_mode leverage key_query"
)

SPEC = Spec(
    name=NAME,
    markets=("spot", "swap", "futures"),
    hosts={
        "live": {"rest": "https://www.okx.com", "ws": "wss://ws.okx.com:8443"},
        "demo": {"rest": "https://www.okx.com", "ws": "wss://wspap.okx.com:8443"},
        "eea": {"rest": "https://eea.okx.com", "ws": "wss://wseea.okx.com:8443"},
        "us": {"rest": "https://us.okx.com", "ws": "wss://wsus.okx.com:8443"},
    },
    sockets=(
        _public("public"),
        _public("business"),  # candles live here alone
        # Orders go in and their life comes out on one line: a line without a subscription would
        # be cut after 30 s.
        SocketSpec(
            name="private",
            role="private",
            market="",
            host="ws",
            path="/ws/v5/private",
            ping=_PING,
            args_chars_max=64 * 1024,
            requests_per_second=200.0,  # of orders; the buckets below bind first
            connect_cost=_CONNECT,
            needs_login=True,
        ),
    ),
    limits=(
        Limit(bucket="connects", count=2, per_ms=1_000),  # three a second and address
        *(
            Limit(bucket=name, count=count, per_ms=2_000, slack_ms=_SLACK_MS)
            for name, count in _PER_TWO_SECONDS.items()
        ),
        *(
            Limit(bucket=name, count=count, per_ms=2_000, slack_ms=_SLACK_MS, each=True)
            for name, count in _PER_INSTRUMENT.items()
        ),
        Limit(bucket="bills", count=5, per_ms=1_000, slack_ms=_SLACK_MS // 2),
        Limit(bucket="dead_man", count=1, per_ms=1_000),
        Limit(bucket="rate_limit", count=1, per_ms=1_000),
    ),
    refusals=REFUSALS,
    features=frozenset(_FEATURES.split()),
    # Requests more than 30 s off are refused; nothing is said about clocks that run ahead.
    clock_ahead_ms_max=30_000,
)
