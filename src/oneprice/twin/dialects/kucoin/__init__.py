"""The wire side of the KuCoin twin: the Classic API, spot by the HF endpoints, and futures.

The real venue has one host per product; the twin has one port. The choices that follow from it:

* Spot and account paths (`/api/v1/hf/...`, `/api/v1/accounts...`, `/api/v2/symbols`) are at the
  root. Futures paths are at the root **and** under `/futures`, which stands for the futures host:
  a client whose futures base is `rest + "/futures"` signs `/api/...` without the prefix, as at
  the venue; a signature over the whole path is taken too, since the prefix is ours alone.
* Paths that both hosts have mean spot at the root and futures under `/futures`: `timestamp` and
  `status` (equal answers), `bullet-public` and `bullet-private` (below). `trade-fees` goes by its
  parameter (`symbols` spot, `symbol` futures), `mark-price/{symbol}/current` by the symbol.
  `/api/v1/orders` and `/api/v1/fills` at the root are the futures ones: the spot paths of these
  names are the old ones that the HF endpoints have replaced.
* A token of `/futures/api/v1/bullet-*` leads to `/futures/endpoint` and knows futures topics
  only. A token of the root leads to `/endpoint` and becomes a spot or a futures one by the first
  topic that is subscribed: clients that know one host work, mixing products on one connection is
  refused as at the venue.
* `/api/ua/v1|v2/account/mode` answers CLASSIC; every other unified path is refused (112010).
* Orders by WebSocket: `/v1/private` with the documented handshake and the classic operations
  (`spot.order`, `futures.order`, ...), whose `args` are the bodies of the REST requests. That a
  classic account is served there, and these names, are unconfirmed (see wsapi.py).
"""

from oneprice.twin.contract import Clock, Exchange
from oneprice.twin.dialects.kucoin.surface import KucoinSurface
from oneprice.twin.faults import Faults


def make(exchange: Exchange, clock: Clock, faults: Faults) -> KucoinSurface:
    """The surface of one twin with the limits of an account without VIP level."""
    return KucoinSurface(exchange, clock, faults)
