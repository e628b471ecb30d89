"""OKX's dialect with one instrument of each market listed."""

import msgspec

from oneprice.kernel import Tripwires
from oneprice.venues.contract import Answer, Credentials
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.trade import OkxTrade

AT = 1_790_000_000_000_000_000

SWAP = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "instIdCode": 10459, "uly": "BTC-USDT",
    "instFamily": "BTC-USDT", "baseCcy": "", "quoteCcy": "", "settleCcy": "USDT",
    "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "tickSz": "0.1",
    "lotSz": "0.01", "minSz": "0.01", "maxLmtSz": "100000000", "maxMktSz": "35000",
    "lever": "100", "listTime": "1611916828000", "expTime": "", "state": "live",
    "ruleType": "normal", "groupId": "4",
}  # fmt: skip
FUTURE = {
    **SWAP, "instType": "FUTURES", "instId": "BTC-USD-261225", "instIdCode": 20777,
    "uly": "BTC-USD", "instFamily": "BTC-USD", "settleCcy": "BTC", "ctVal": "100",
    "ctValCcy": "USD", "ctType": "inverse", "lotSz": "1", "minSz": "1",
    "expTime": "1798185600000", "groupId": "2",
}  # fmt: skip
SPOT = {
    **SWAP, "instType": "SPOT", "instId": "BTC-USDT", "instIdCode": 1, "uly": "",
    "instFamily": "", "baseCcy": "BTC", "quoteCcy": "USDT", "settleCcy": "", "ctVal": "",
    "ctMult": "", "ctValCcy": "", "ctType": "", "lotSz": "0.00000001", "minSz": "0.00001",
    "groupId": "1",
}  # fmt: skip


def dialect() -> tuple[OkxFeed, OkxTrade]:
    feed = OkxFeed(Tripwires())
    for market, row in {"spot": SPOT, "swap": SWAP, "futures": FUTURE}.items():
        body = msgspec.json.encode({"code": "0", "msg": "", "data": [row]})
        feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)
    assert len(feed.listed) == 3
    keys = Credentials("simkey0001", "TESTSECRET0123456789ABCDEF", "simphrase0001")
    return feed, OkxTrade(keys, feed.listed, feed.details)
