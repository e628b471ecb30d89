"""One line per REST endpoint: method, path, who may ask, which pool pays how much."""

from collections.abc import Callable

import msgspec

from oneprice.twin.dialects.kucoin.facts import Call
from oneprice.twin.dialects.kucoin.limits import PoolName

Handler = Callable[[Call], object]  # the `data` of the envelope; Failure and Refusal otherwise


class Route(msgspec.Struct, frozen=True):
    """`weight` as in section 4; `{name}` parts of the path become parameters."""

    method: str
    path: str
    handler: Handler
    pool: PoolName
    weight: int
    signed: bool = True

    @property
    def writes(self) -> bool:
        return self.signed and self.method in ("POST", "DELETE") and "bullet" not in self.path


def public(path: str, handler: Handler, weight: int) -> Route:
    return Route("GET", path, handler, PoolName.PUBLIC, weight, signed=False)
