"""OKX v5, public side: what is fact rather than procedure.

Source: the official API v5 documentation (state of July 2026) and its change log. The private
side is not spoken yet; refusals are listed because REST answers of the public side use them too.
"""

from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec

# The connection is cut after 30 s without a push; the venue asks for a text "ping" before that
# ("Connect", WebSocket API). 18 s leaves room for one lost round.
_PING = Ping(payload=b"ping", every_ms=18_000, silence_ms=30_000)

SPEC = Spec(
    name="okx",
    markets=("spot", "swap", "futures"),
    hosts={
        "live": {"rest": "https://www.okx.com", "ws": "wss://ws.okx.com:8443"},
        "demo": {"rest": "https://www.okx.com", "ws": "wss://wspap.okx.com:8443"},
        "eea": {"rest": "https://eea.okx.com", "ws": "wss://wseea.okx.com:8443"},
        "us": {"rest": "https://us.okx.com", "ws": "wss://wsus.okx.com:8443"},
    },
    sockets=(
        SocketSpec(
            name="public",
            role="public",
            market="",
            host="ws",
            path="/ws/v5/public",
            ping=_PING,
            topics_per_request=50,
            # "fewer than 30 deep-book subscriptions per connection": with up to four more
            # channels for each book this stays below it.
            topics_max=120,
            args_chars_max=64 * 1024,
            # 480 subscribe, unsubscribe and login requests per hour and connection.
            requests_per_second=0.5,
            connects_per_5min=300,
        ),
    ),
    limits=(
        Limit(bucket="instruments", count=18, per_ms=2_000),
        Limit(bucket="time", count=9, per_ms=2_000),
    ),
    refusals={
        "50001": "venue_busy",
        "50004": "venue_busy",
        "50011": "rate_limited",
        "50013": "venue_busy",
        "50014": "bad_parameter",
        "50015": "bad_parameter",
        "50016": "bad_parameter",
        "50026": "venue_busy",
        "50030": "no_permission",
        "50035": "no_permission",
        "50061": "rate_limited",
        "50101": "bad_key",
        "50102": "bad_time",
        "50105": "bad_key",
        "50110": "no_permission",
        "50111": "bad_key",
        "50112": "bad_time",
        "50113": "bad_signature",
        "50119": "bad_key",
        "50120": "no_permission",
        "51000": "bad_parameter",
        "51001": "no_such_instrument",
        "51005": "too_large",
        "51006": "price_limit",
        "51008": "insufficient_funds",
        "51016": "duplicate_id",
        "51020": "too_small",
        "51021": "not_tradable",
        "51022": "not_tradable",
        "51023": "reduce_only",
        "51027": "not_tradable",
        "51028": "not_tradable",
        "51029": "not_tradable",
        "51087": "not_tradable",
        "51101": "too_large",
        "51112": "reduce_only",
        "51116": "price_limit",
        "51119": "insufficient_funds",
        "51120": "too_small",
        "51121": "off_grid",
        "51127": "insufficient_funds",
        "51131": "insufficient_funds",
        "51135": "price_limit",
        "51136": "price_limit",
        "51137": "price_limit",
        "51138": "price_limit",
        "51148": "reduce_only",
        "51150": "off_grid",
        "51169": "reduce_only",
        "51170": "reduce_only",
        "51202": "too_large",
        "51203": "too_large",
        "51205": "reduce_only",
        "51206": "reduce_only",
        "51603": "no_such_order",
    },
    features=frozenset(),  # all of them are about orders, which are not spoken here
    # Requests more than 30 s off are refused; nothing is said about clocks that run ahead.
    clock_ahead_ms_max=30_000,
)
