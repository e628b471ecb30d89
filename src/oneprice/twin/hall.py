"""What the departments of one exchange share: floors, money, positions, orders, the output."""

from collections.abc import Callable, Mapping

import msgspec

from oneprice.model.units import InstrumentId
from oneprice.twin.contract import Output, Setup
from oneprice.twin.docket import Docket
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings
from oneprice.twin.solvency import Solvency
from oneprice.twin.vault import Vault


class Hall(msgspec.Struct, frozen=True, kw_only=True):
    """Passed to every department; what happens is told through `emit`, in order."""

    setup: Setup
    floors: Mapping[InstrumentId, Floor]
    vault: Vault
    holdings: Holdings
    docket: Docket
    solvency: Solvency
    emit: Callable[[Output], None]
    pressed: Callable[[Floor, int, int], None]  # a customer took so many signed lots, at
