"""Pairs and triangles of books that wake somebody when their touch earns enough."""

from __future__ import annotations

from oneprice.kernel.reference.book import Book

Books = tuple[Book, Book, Book]
Sides = tuple[int, int, int]
Units = tuple[float, float, float]


class Wire:
    """One armed condition over the touches of its books."""

    __slots__ = ("books", "factor", "number", "owner", "sides", "tripped", "units")

    def __init__(
        self,
        owner: Tripwires,
        number: int,
        books: tuple[Book, ...],
        sides: tuple[int, ...],
        units: tuple[float, ...],
    ) -> None:
        self.owner = owner
        self.number = number
        self.books = books
        self.sides = sides
        self.units = units
        self.factor = 1.0
        self.tripped = False

    def check(self) -> None:
        """Trip when the condition holds; a wire that is tripped already stays so."""
        if not self.tripped and (self._pair() if len(self.books) == 2 else self._cycle()):
            self.tripped = True
            self.owner.tripped.append(self)

    def _pair(self) -> bool:
        buy, sell = self.books
        if not (buy.known and sell.known and buy.ask_ticks and sell.bid_ticks):
            return False
        buy_unit, sell_unit = self.units
        earned = float(sell.bid_ticks) * sell_unit
        return earned >= (float(buy.ask_ticks) * buy_unit) * self.factor

    def _cycle(self) -> bool:
        product = 1.0
        for book, side, unit in zip(self.books, self.sides, self.units, strict=True):
            ticks = book.ask_ticks if side == 1 else book.bid_ticks
            if not book.known or not ticks:
                return False
            price = float(ticks) * unit
            product = product / price if side == 1 else product * price
        return product >= self.factor


class Tripwires:
    """Numbered conditions, checked on every change of a touch (best prices and their sizes).

    A wire is a hint to wake up: it compares binary floats, in the same order of operations in both
    kernels; whoever wakes decides by exact arithmetic. `edge_bps` are basis points, a unit turns
    the ticks of a book into a price that is comparable within the wire.
    """

    __slots__ = ("_next", "_wires", "tripped")

    def __init__(self) -> None:
        self._next = 0
        self._wires: dict[int, Wire] = {}
        self.tripped: list[Wire] = []

    @property
    def pending(self) -> bool:
        """Whether `drain` would return something."""
        return bool(self.tripped)

    def arm(
        self, buy: Book, sell: Book, edge_bps: float, buy_unit: float, sell_unit: float
    ) -> int:
        """Wake when bid of `sell` >= ask of `buy` * (1 + edge_bps / 1e4); the wire's number."""
        return self._add((buy, sell), (1, -1), edge_bps, (buy_unit, sell_unit))

    def arm_cycle(self, books: Books, sides: Sides, edge_bps: float, units: Units) -> int:
        """Wake when one unit through three legs grows to 1 + edge_bps / 1e4 or more.

        Side 1 buys base with quote (divides by the ask), -1 sells base (multiplies by the bid).
        """
        if len(books) != 3 or len(sides) != 3 or len(units) != 3:
            raise ValueError("a cycle has three books, three sides and three units")
        return self._add(tuple(books), tuple(sides), edge_bps, tuple(units))

    def _add(
        self,
        books: tuple[Book, ...],
        sides: tuple[int, ...],
        edge_bps: float,
        units: tuple[float, ...],
    ) -> int:
        for side in sides:
            if side not in (1, -1):
                raise ValueError(f"side: expected 1 or -1, found {side}")
        for unit in units:
            if not 0.0 < unit < float("inf"):
                raise ValueError(f"unit: expected a positive number, found {unit}")
        wire = Wire(self, self._next, books, sides, tuple(map(float, units)))
        wire.factor = 1.0 + edge_bps / 1e4
        self._next += 1
        self._wires[wire.number] = wire
        for place, book in enumerate(books):
            if not any(book is other for other in books[:place]):
                book._wires.append(wire)
                book._touch = book._best()
        wire.check()
        return wire.number

    def move(self, wire: int, edge_bps: float) -> None:
        """Give a wire another edge; it is judged anew at once (KeyError: no such wire)."""
        moved = self._wires[wire]
        moved.factor = 1.0 + edge_bps / 1e4
        self._untrip(moved)
        moved.check()

    def disarm(self, wire: int) -> None:
        """Remove a wire, also from what is pending (KeyError: no such wire)."""
        gone = self._wires.pop(wire)
        self._untrip(gone)
        for book in gone.books:
            book._wires = [other for other in book._wires if other is not gone]

    def drain(self) -> list[int]:
        """The wires tripped since the last call, each once, in the order of their numbers."""
        numbers = sorted(wire.number for wire in self.tripped)
        for wire in self.tripped:
            wire.tripped = False
        self.tripped.clear()
        return numbers

    def _untrip(self, wire: Wire) -> None:
        if wire.tripped:
            wire.tripped = False
            self.tripped = [other for other in self.tripped if other is not wire]
