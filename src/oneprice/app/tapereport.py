"""What a check of recordings tells: about each file, each instrument, and the whole."""

import msgspec

from oneprice.model.units import InstrumentId


class InstrumentReport(msgspec.Struct, kw_only=True):
    """What came of one instrument's book.

    `late` counts book frames more than a second later than the promptest one would suggest (the
    two clocks need not agree). `compared` and `equal`: see `oracle`.
    """

    file: str
    venue: str
    market: str
    instrument: InstrumentId
    frames: int = 0
    updates: int = 0
    gaps: int = 0
    resyncs: int = 0
    crossed: int = 0
    compared: int = 0
    equal: int = 0
    late: int = 0
    rate_per_second: float = 0.0
    losses: dict[str, int] = {}  # other reasons why the book was lost
    quotes: int = 0
    marks: int = 0
    forecasts: int = 0  # of funding
    trades: int = 0
    trade_gaps: int = 0
    undecided: int = 0  # quotes that no rule could compare
    start: str = "none"  # none, recorded, or assumed: no snapshot, levels before it are unknown
    grid: str = "listed"  # listed, or inferred from the numbers seen
    oracle: str = ""
    reasons: list[str] = []
    ok: bool = True


class FileReport(msgspec.Struct, kw_only=True):
    """What one recording is; `read` False means that there is no book to be made from it."""

    path: str
    form: str
    venue: str = ""
    market: str = ""
    read: bool = True
    reason: str = ""
    records: int = 0
    rejected: int = 0
    findings: list[str] = []
    notes: list[str] = []
    ok: bool = True


class Report(msgspec.Struct, kw_only=True):
    """The whole answer. `seconds` is how long the check took."""

    files: list[FileReport] = []
    instruments: list[InstrumentReport] = []
    seconds: float = 0.0
    ok: bool = True
