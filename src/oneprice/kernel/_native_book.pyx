# Part of _native.pyx: the order book.

@cython.final
cdef class Book:
    """Price levels of one instrument, best first, and whether they are proven right now.

    See `oneprice.kernel.reference.Book`, whose behaviour this is to the last bit.
    """

    cdef Side _bids
    cdef Side _asks
    cdef Side _new_bids
    cdef Side _new_asks
    cdef Grid _prices
    cdef Grid _sizes
    cdef list _wires
    cdef readonly object tick
    cdef readonly object lot
    cdef readonly Py_ssize_t depth_max
    cdef readonly bint known
    cdef readonly bint crossed
    cdef readonly bint bridging
    cdef readonly int64_t at
    cdef readonly int64_t sequence
    cdef readonly int64_t bid_ticks
    cdef readonly int64_t bid_lots
    cdef readonly int64_t ask_ticks
    cdef readonly int64_t ask_lots

    def __init__(self, tick, lot, Py_ssize_t depth_max=0):
        if depth_max < 0:
            raise ValueError(f"depth_max: expected 0 or more, found {depth_max}")
        self._prices.decimals, self._prices.multiple = _contract.grid_of(tick, "price")
        self._prices.count_max = TICKS_MAX
        self._sizes.decimals, self._sizes.multiple = _contract.grid_of(lot, "size")
        self._sizes.count_max = LOTS_MAX
        self.tick = Decimal(tick)
        self.lot = Decimal(lot)
        self.depth_max = depth_max
        self._wires = []

    def __dealloc__(self):
        free(self._bids.level)
        free(self._asks.level)
        free(self._new_bids.level)
        free(self._new_asks.level)

    def __repr__(self):
        state = f"sequence={self.sequence}" if self.known else "unknown"
        return f"Book(tick={self.tick}, lot={self.lot}, {state})"

    def __reduce__(self):
        raise TypeError("a Book is not copied: its levels are proven where they are")

    def snapshot(self, bytes bids not None, bytes asks not None, int64_t at, int64_t sequence):
        """Replace all levels by raw JSON arrays of [price text, size text, ...] (BadLevels)."""
        self._stage(bids, asks)
        self.change(&self._new_bids, &self._new_asks, True, at, sequence)

    def delta(self, bytes bids not None, bytes asks not None, int64_t at, int64_t sequence):
        """Set levels from raw JSON arrays, size 0 deletes; BadLevels also on an unknown book."""
        self._stage(bids, asks)
        if not self.known:
            raise BadLevels("the book is not known: a delta needs a snapshot first")
        self.change(&self._new_bids, &self._new_asks, False, at, sequence)

    def load(self, bids, asks, int64_t at, int64_t sequence):
        """Replace all levels by (ticks, lots) pairs (BadLevels when out of range)."""
        self._stage_counted(bids, 1, &self._new_bids)
        self._stage_counted(asks, -1, &self._new_asks)
        self.change(&self._new_bids, &self._new_asks, True, at, sequence)

    cpdef void lose(self) noexcept:
        """From now on the book is not known; its levels and sequence are gone."""
        self._bids.size = self._asks.size = 0
        self.known = self.crossed = self.bridging = False
        self.sequence = 0
        self.bid_ticks = self.bid_lots = self.ask_ticks = self.ask_lots = 0

    def bids(self, Py_ssize_t limit=0):
        """The best `limit` (0: all) bids as (ticks, lots), best first."""
        return self._listed(&self._bids, limit, 1)

    def asks(self, Py_ssize_t limit=0):
        """The best `limit` (0: all) asks as (ticks, lots), best first."""
        return self._listed(&self._asks, limit, -1)

    cdef list _listed(self, Side* side, Py_ssize_t limit, int64_t sign):
        cdef Py_ssize_t i, count = side.size
        cdef list levels = []
        if 0 < limit < count:
            count = limit
        for i in range(side.size - 1, side.size - 1 - count, -1):
            levels.append((sign * side.level[i].key, side.level[i].lots))
        return levels

    def lots_within(self, int side, ticks):
        """Lots bid at or above `ticks` (side 1) or asked at or below it (side -1)."""
        cdef Side* levels = &self._bids if _side(side) == 1 else &self._asks
        cdef i128 total = 0
        cdef int64_t limit = max(-TICKS_MAX - 1, min(TICKS_MAX + 1, ticks))
        cdef Py_ssize_t i = levels.size - 1
        limit *= side
        while i >= 0 and levels.level[i].key >= limit:
            total += levels.level[i].lots
            i -= 1
        return _integer(total)

    def imbalance(self, Py_ssize_t levels):
        """(bid - ask) / (bid + ask) of the lots of the best `levels` (0: all); 0.0 when empty."""
        cdef object bid = self._lots_of(&self._bids, levels)
        cdef object ask = self._lots_of(&self._asks, levels)
        return (bid - ask) / (bid + ask) if bid + ask else 0.0

    cdef object _lots_of(self, Side* side, Py_ssize_t levels):
        cdef i128 total = 0
        cdef Py_ssize_t i, last = side.size - levels if 0 < levels < side.size else 0
        for i in range(last, side.size):
            total += side.level[i].lots
        return _integer(total)

    def cost(self, int side, lots):
        """Buy (side 1) or sell (-1) `lots` now: (sum of ticks * lots, lots there were)."""
        cdef Side* levels = &self._asks if _side(side) == 1 else &self._bids
        cdef object value = 0
        cdef object filled = 0
        cdef object left = lots if lots > 0 else 0
        cdef Py_ssize_t i = levels.size - 1
        while i >= 0 and left:
            taken = min(levels.level[i].lots, left)
            value += -side * levels.level[i].key * taken
            left -= taken
            filled += taken
            i -= 1
        return value, filled

    def fingerprint(self):
        """64 bits over known, sequence and all levels; the same in both kernels."""
        cdef uint64_t state = mix(mix(0, self.known), <uint64_t>self.sequence)
        state = self._mixed(state, &self._bids, 1)
        return self._mixed(state, &self._asks, -1)

    cdef uint64_t _mixed(self, uint64_t state, Side* side, int64_t sign) noexcept:
        cdef Py_ssize_t i
        state = mix(state, <uint64_t>side.size)
        for i in range(side.size - 1, -1, -1):
            state = mix(state, <uint64_t>(sign * side.level[i].key))
            state = mix(state, <uint64_t>side.level[i].lots)
        return state

    cdef int _stage(self, bytes bids, bytes asks) except -1:
        cdef int bid = self._stage_raw(bids, 1, &self._new_bids)
        cdef int ask = self._stage_raw(asks, -1, &self._new_asks)
        if bid == BAD or ask == BAD:
            raise BadLevels("levels: expected arrays of price and size as decimal texts in range")
        if bid == OFF or ask == OFF:
            raise OffGrid(f"off grid: no multiple of tick {self.tick} or lot {self.lot}")
        return 0

    cdef int _stage_raw(self, bytes raw, int64_t sign, Side* staged) except -1:
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(raw)
        cdef const uint8_t* end
        end = stage_plain(space(start), &self._prices, &self._sizes, sign, staged)
        if end != NULL and space(end) - start == PyBytes_GET_SIZE(raw):
            return FINE
        try:
            decoded = _decode(raw)
        except _FAULTS as error:
            raise BadLevels(f"levels: {error}") from error
        return stage_decoded(decoded, &self._prices, &self._sizes, sign, staged)

    cdef int _stage_counted(self, levels, int64_t sign, Side* staged) except -1:
        staged.size = 0
        for ticks, lots in levels:
            if not 0 < ticks <= TICKS_MAX or not 0 <= lots <= LOTS_MAX:
                raise BadLevels(
                    f"levels: ({ticks}, {lots}) is outside of what the kernel can count"
                )
            stage(staged, sign * <int64_t>ticks, lots)
        return 0

    cdef inline int _set(self, Side* side, Side* staged, bint replace) except -1:
        cdef Py_ssize_t i, drop
        if replace:
            side_room(side, staged.size + 1)
            side_replace(side, staged)
        else:
            side_room(side, side.size + staged.size + 1)
            for i in range(staged.size):
                side_set(side, staged.level[i].key, staged.level[i].lots)
        if self.depth_max and side.size > self.depth_max:
            drop = side.size - self.depth_max
            memmove(side.level, &side.level[drop], self.depth_max * sizeof(Level))
            side.size = self.depth_max
        return 0

    cdef int change(
        self, Side* bids, Side* asks, bint replace, int64_t at, int64_t sequence
    ) except -1:
        # Apply proven levels and check the wires when the touch has moved.
        cdef int64_t bid_ticks = self.bid_ticks, bid_lots = self.bid_lots
        cdef int64_t ask_ticks = self.ask_ticks, ask_lots = self.ask_lots
        cdef bint was_known = self.known
        cdef Level* best
        self._set(&self._bids, bids, replace)
        self._set(&self._asks, asks, replace)
        self.bid_ticks = self.bid_lots = self.ask_ticks = self.ask_lots = 0
        if self._bids.size:
            best = &self._bids.level[self._bids.size - 1]
            self.bid_ticks = best.key
            self.bid_lots = best.lots
        if self._asks.size:
            best = &self._asks.level[self._asks.size - 1]
            self.ask_ticks = -best.key
            self.ask_lots = best.lots
        if self.bid_ticks and 0 < self.ask_ticks <= self.bid_ticks:
            self.lose()
            self.crossed = True
            return 0
        self.known = True
        self.crossed = False
        self.bridging = replace
        self.at = at
        self.sequence = sequence
        if PyList_GET_SIZE(self._wires) and (
            not was_known
            or bid_ticks != self.bid_ticks
            or ask_ticks != self.ask_ticks
            or bid_lots != self.bid_lots
            or ask_lots != self.ask_lots
        ):
            self._check_wires()
        return 0

    cdef int _check_wires(self) except -1:
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self._wires)):
            (<Wire>PyList_GET_ITEM(self._wires, i)).check()
        return 0


cdef int _side(int side) except 0:
    if side != 1 and side != -1:
        raise ValueError(f"side: expected 1 or -1, found {side}")
    return side


# A book by its name, and a slot of the table in which a reader finds it by the bytes of a frame.

cdef struct Slot:
    uint64_t hash
    const char* text
    Py_ssize_t size
    PyObject* entry


@cython.final
cdef class Entry:
    cdef bytes raw
    cdef str name
    cdef Book book


cdef inline uint64_t hashed(const char* text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t state = <uint64_t>size, word
    while size > 0:
        word = 0
        memcpy(&word, text, 8 if size >= 8 else size)
        state = mix(state, word)
        text += 8
        size -= 8
    return state
