# Part of _native.pyx: tripwires over pairs and triangles of books.

@cython.final
cdef class Wire:
    # One armed condition; see oneprice.kernel.reference.wires for the order of operations.
    cdef Tripwires owner
    cdef Book first
    cdef Book second
    cdef Book third  # None for a pair
    cdef double[3] units
    cdef int[3] sides
    cdef bint pair
    cdef bint tripped
    cdef double factor
    cdef int64_t number

    cdef inline int check(self) except -1:
        if not self.tripped and (self._pair() if self.pair else self._cycle()):
            self.tripped = True
            self.owner._tripped.append(self)
        return 0

    cdef inline bint _pair(self) noexcept:
        cdef Book buy = self.first
        cdef Book sell = self.second
        if not (buy.known and sell.known and buy.ask_ticks and sell.bid_ticks):
            return False
        return <double>sell.bid_ticks * self.units[1] >= (
            <double>buy.ask_ticks * self.units[0]
        ) * self.factor

    cdef bint _cycle(self) noexcept:
        cdef double product = 1.0
        if not self._leg(self.first, 0, &product):
            return False
        if not self._leg(self.second, 1, &product):
            return False
        if not self._leg(self.third, 2, &product):
            return False
        return product >= self.factor

    cdef inline bint _leg(self, Book book, int place, double* product) noexcept:
        cdef int64_t ticks = book.ask_ticks if self.sides[place] == 1 else book.bid_ticks
        cdef double price
        if not book.known or not ticks:
            return False
        price = <double>ticks * self.units[place]
        product[0] = product[0] / price if self.sides[place] == 1 else product[0] * price
        return True


@cython.final
cdef class Tripwires:
    """Numbered conditions, checked on every change of a touch (best prices and their sizes).

    See `oneprice.kernel.reference.Tripwires`, whose behaviour this is to the last bit.
    """

    cdef int64_t _next
    cdef dict _armed
    cdef list _tripped

    def __init__(self):
        self._armed = {}
        self._tripped = []

    @property
    def pending(self):
        """Whether `drain` would return something."""
        return len(self._tripped) > 0

    def arm(
        self,
        Book buy not None,
        Book sell not None,
        double edge_bps,
        double buy_unit,
        double sell_unit,
    ):
        """Wake when bid of `sell` >= ask of `buy` * (1 + edge_bps / 1e4); the wire's number."""
        return self._add((buy, sell), (1, -1), edge_bps, (buy_unit, sell_unit))

    def arm_cycle(self, tuple books not None, sides, double edge_bps, units):
        """Wake when one unit through three legs grows to 1 + edge_bps / 1e4 or more.

        Side 1 buys base with quote (divides by the ask), -1 sells base (multiplies by the bid).
        """
        if len(books) != 3 or len(sides) != 3 or len(units) != 3:
            raise ValueError("a cycle has three books, three sides and three units")
        for book in books:
            if not isinstance(book, Book):
                raise TypeError(f"book: expected Book, found {type(book).__name__}")
        return self._add(books, sides, edge_bps, units)

    cdef int64_t _add(self, tuple books, sides, double edge_bps, units) except -1:
        cdef Wire wire = Wire.__new__(Wire)
        cdef Book book
        cdef int place
        cdef double unit
        for place in range(len(books)):
            wire.sides[place] = _side(sides[place])
            unit = units[place]
            if not 0.0 < unit < float("inf"):
                raise ValueError(f"unit: expected a positive number, found {unit}")
            wire.units[place] = unit
        wire.owner = self
        wire.number = self._next
        wire.first = books[0]
        wire.second = books[1]
        wire.pair = len(books) == 2
        wire.third = None if wire.pair else books[2]
        wire.factor = 1.0 + edge_bps / 1e4
        self._next += 1
        self._armed[wire.number] = wire
        for place in range(len(books)):
            book = books[place]
            if not any([book is other for other in books[:place]]):
                book._wires.append(wire)
        wire.check()
        return wire.number

    def move(self, wire, double edge_bps):
        """Give a wire another edge; it is judged anew at once (KeyError: no such wire)."""
        cdef Wire moved = self._armed[wire]
        moved.factor = 1.0 + edge_bps / 1e4
        self._untrip(moved)
        moved.check()

    def disarm(self, wire):
        """Remove a wire, also from what is pending (KeyError: no such wire)."""
        cdef Wire gone = self._armed.pop(wire)
        self._untrip(gone)
        for book in (gone.first, gone.second, gone.third):
            if book is not None:
                (<Book>book)._wires = [other for other in (<Book>book)._wires if other is not gone]

    def drain(self):
        """The wires tripped since the last call, each once, in the order of their numbers."""
        cdef list numbers = [(<Wire>wire).number for wire in self._tripped]
        for wire in self._tripped:
            (<Wire>wire).tripped = False
        self._tripped.clear()
        numbers.sort()
        return numbers

    cdef int _untrip(self, Wire wire) except -1:
        if wire.tripped:
            wire.tripped = False
            self._tripped = [other for other in self._tripped if other is not wire]
        return 0
