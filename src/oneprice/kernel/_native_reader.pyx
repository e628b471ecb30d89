# Part of _native.pyx: raw frames of one depth channel to books, in one pass over the bytes.

cdef enum:
    KIND = 1
    NAME = 2
    SNAPSHOT = 4
    FIRST = 8
    LAST = 16
    PREVIOUS = 32
    STAMP = 64
    BIDS = 128
    ASKS = 256
    TEXTS = 7
    KEYS_MAX = 9

cdef enum:
    PLUS_ONE = 0
    SPAN = 1
    LINKED = 2
    NONE = 3

cdef enum:
    OTHER = 0
    APPLIED = 1
    REPLACED = 2
    STALE = 3
    UNSYNCED = 4
    GAP = 5
    CROSSED = 6
    MALFORMED = 7
    UNKNOWN = 8
    OFF_GRID = 9

assert [member.value for member in Outcome] == list(range(10))

cdef struct Key:
    const char* text
    Py_ssize_t size
    int roles
    int8_t next  # the next key with the same first byte, or -1

@cython.final
cdef class DepthReader:
    """Applies the frames of one channel to the books registered by name.

    See `oneprice.kernel.reference.DepthReader`, whose behaviour this is to the last bit.
    """

    # The facts of the channel.
    cdef list _keep
    cdef Key[KEYS_MAX] _keys
    cdef int _key_count
    cdef int8_t[256] _by_first
    cdef bytes _prefix
    cdef bytes _snapshot_value
    cdef int _rule
    cdef int _has
    cdef int64_t _restart_at
    # The books.
    cdef dict _entries
    cdef Slot* _slots
    cdef uint64_t _slot_mask
    # The frame at hand.
    cdef Side _new_bids
    cdef Side _new_asks
    cdef const uint8_t* _bids_at  # levels that are still to be staged, or NULL
    cdef const uint8_t* _asks_at
    cdef Py_ssize_t _bids_size
    cdef Py_ssize_t _asks_size
    cdef int _met
    cdef bint _named
    cdef bint _stopped
    cdef bint _whole
    cdef bint _said_snapshot
    cdef Entry _entry
    cdef readonly str name
    cdef readonly object book
    cdef readonly int64_t stamp_ms
    cdef readonly int64_t first
    cdef readonly int64_t last
    cdef readonly int64_t previous

    def __init__(self, depth_format):
        if not isinstance(depth_format, DepthFormat):
            raise TypeError(f"expected DepthFormat, found {type(depth_format).__name__}")
        _contract.check_format(depth_format)
        f = depth_format
        self._keep = []
        self._key_count = 0
        for place in range(256):
            self._by_first[place] = -1
        roles = {}
        for key, role in (
            (f.kind_key, KIND), (f.name_key, NAME), (f.snapshot_key, SNAPSHOT),
            (f.first_key, FIRST), (f.last_key, LAST), (f.previous_key, PREVIOUS),
            (f.stamp_key, STAMP), (f.bids_key, BIDS), (f.asks_key, ASKS),
        ):
            if key:
                roles[key] = roles.get(key, 0) | role
        for key, role in roles.items():
            self._add_key(key.encode(), role)
        self._prefix = f.kind_prefix.encode()
        self._snapshot_value = f.snapshot_value.encode()
        self._rule = ("plus_one", "span", "linked", "none").index(f.rule)
        self._has = sum(roles.values())
        self._restart_at = f.restart_at
        self._entries = {}
        self._rebuild()
        self._forget_frame()

    def __dealloc__(self):
        free(self._slots)
        free(self._new_bids.level)
        free(self._new_asks.level)

    def __reduce__(self):
        raise TypeError("a DepthReader is not copied: its books are proven where they are")

    cdef int _add_key(self, bytes text, int roles) except -1:
        cdef Key* key = &self._keys[self._key_count]
        cdef uint8_t byte = <uint8_t>text[0]
        self._keep.append(text)
        key.text = PyBytes_AS_STRING(text)
        key.size = PyBytes_GET_SIZE(text)
        key.roles = roles
        key.next = self._by_first[byte]
        self._by_first[byte] = <int8_t>self._key_count
        self._key_count += 1
        return 0

    def register(self, str name not None, Book book not None):
        """From now on frames named `name` are for `book`."""
        cdef Entry entry = Entry.__new__(Entry)
        entry.raw = name.encode()
        entry.name = name
        entry.book = book
        self._entries[name] = entry
        self._rebuild()

    def forget(self, str name not None):
        """Frames named `name` are UNKNOWN from now on (KeyError: were so before)."""
        del self._entries[name]
        self._rebuild()

    cdef int _rebuild(self) except -1:
        cdef uint64_t room = 8
        cdef uint64_t place
        cdef Entry entry
        cdef Slot* slots
        while room < <uint64_t>len(self._entries) * 2:
            room *= 2
        slots = <Slot*>calloc(room, sizeof(Slot))
        if slots == NULL:
            raise MemoryError()
        for entry in self._entries.values():
            place = hashed(PyBytes_AS_STRING(entry.raw), PyBytes_GET_SIZE(entry.raw))
            while slots[place & (room - 1)].entry != NULL:
                place += 1
            slots[place & (room - 1)].entry = <PyObject*>entry
            slots[place & (room - 1)].text = PyBytes_AS_STRING(entry.raw)
            slots[place & (room - 1)].size = PyBytes_GET_SIZE(entry.raw)
        free(self._slots)
        self._slots = slots
        self._slot_mask = room - 1
        self._entry = None
        return 0

    cdef inline Slot* _find(self, const char* text, Py_ssize_t size) noexcept:
        cdef uint64_t place = hashed(text, size)
        cdef Slot* slot
        while True:
            slot = &self._slots[place & self._slot_mask]
            if slot.entry == NULL:
                return NULL
            if slot.size == size and memcmp(slot.text, text, size) == 0:
                return slot
            place += 1

    cdef inline void _forget_frame(self) noexcept:
        self.name = ""
        self.book = None
        self._entry = None
        self.stamp_ms = self.first = self.last = self.previous = 0
        self._bids_at = self._asks_at = NULL
        self._bids_size = self._asks_size = 0
        self._met = 0
        self._stopped = self._said_snapshot = self._named = False
        self._whole = True

    def feed(self, bytes frame not None, int64_t at):
        """Take one frame received `at` (ns UTC); returns an Outcome as int."""
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(frame)
        cdef const uint8_t* p = space(start)
        self._forget_frame()
        if p[0] != 123 and p[0] != 91:  # { [
            return OTHER
        p = self._value(p, 0)
        if self._stopped:
            return self._other()
        if p == NULL or space(p) - start != PyBytes_GET_SIZE(frame):
            return self._malformed()
        return self._judge(at)

    # Searching: every method steps over what stands at p and returns where it ends. NULL: no JSON
    # that msgspec would take, or `_stopped`.

    cdef const uint8_t* _value(self, const uint8_t* p, int depth) except? NULL:
        if p[0] == 123:
            return self._object(p, depth + 1)
        if p[0] == 91:
            return self._array(p, depth + 1)
        return step_scalar(p)

    cdef const uint8_t* _array(self, const uint8_t* p, int depth) except? NULL:
        if depth > NESTING_MAX:
            return NULL
        p = space(p + 1)
        if p[0] == 93:
            return p + 1
        while True:
            p = self._value(p, depth)
            if p == NULL:
                return NULL
            p = space(p)
            if p[0] == 93:
                return p + 1
            if p[0] != 44:
                return NULL
            p = space(p + 1)

    cdef const uint8_t* _object(self, const uint8_t* p, int depth) except? NULL:
        cdef const uint8_t* key
        cdef int found
        if depth > NESTING_MAX:
            return NULL
        p = space(p + 1)
        if p[0] == 125:  # }
            return p + 1
        while True:
            if p[0] != 34:
                return NULL
            key = p
            p = step_text(p)
            if p == NULL:
                return NULL
            found = self._match(key, p)
            p = space(p)
            if p[0] != 58:  # :
                return NULL
            p = space(p + 1)
            if found < 0:
                p = self._value(p, depth)
            else:
                p = self._wanted(p, depth, self._keys[found].roles)
            if p == NULL:
                return NULL
            p = space(p)
            if p[0] == 125:
                return p + 1
            if p[0] != 44:
                return NULL
            p = space(p + 1)

    cdef inline int _match(self, const uint8_t* start, const uint8_t* end) except -2:
        # The wanted key that the quoted text is, or -1.
        cdef Py_ssize_t size = end - start - 2
        if memchr(start, 92, size + 1) != NULL:
            plain = token(start, end).encode()
            return self._match_plain(PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain))
        return self._match_plain(<const char*>start + 1, size)

    cdef inline int _match_plain(self, const char* text, Py_ssize_t size) noexcept:
        cdef int found = self._by_first[<uint8_t>text[0]]
        while found >= 0:
            if self._keys[found].size == size and not memcmp(self._keys[found].text, text, size):
                return found
            found = self._keys[found].next
        return -1

    cdef inline const uint8_t* _wanted(
        self, const uint8_t* p, int depth, int roles
    ) except? NULL:
        if self._met & roles:
            self._whole = False
            return step_value(p, depth)
        self._met |= roles
        if roles & TEXTS:
            return self._wanted_text(p, depth, roles)
        if roles & (BIDS | ASKS):
            return self._wanted_levels(p, depth, roles == BIDS)
        return self._wanted_integer(p, depth, roles)

    cdef const uint8_t* _wanted_text(self, const uint8_t* p, int depth, int roles) except? NULL:
        cdef const uint8_t* start = p
        cdef Py_ssize_t size
        p = step_value(p, depth)
        if p == NULL:
            return NULL
        if start[0] != 34:
            self._stopped = (roles & KIND) != 0
            self._whole = self._whole and not roles & SNAPSHOT
            return NULL if self._stopped else p
        size = p - start - 2
        if memchr(start, 92, size + 1) != NULL:
            plain = token(start, p).encode()
            self._take_text(PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain), roles)
        else:
            self._take_text(<const char*>start + 1, size, roles)
        return NULL if self._stopped else p

    cdef inline int _take_text(self, const char* text, Py_ssize_t size, int roles) except -1:
        cdef Py_ssize_t least
        cdef Slot* slot
        if roles & KIND:
            least = PyBytes_GET_SIZE(self._prefix)
            if size < least or memcmp(text, PyBytes_AS_STRING(self._prefix), least):
                self._stopped = True
                return 0
        if roles & NAME:
            self._named = True
            slot = self._find(text, size)
            if slot == NULL:
                self.name = text[:size].decode("utf-8")
            else:
                self._entry = <Entry>slot.entry
                self.name = self._entry.name
        if roles & SNAPSHOT:
            self._said_snapshot = size == PyBytes_GET_SIZE(self._snapshot_value) and not memcmp(
                text, PyBytes_AS_STRING(self._snapshot_value), size
            )
        return 0

    cdef inline const uint8_t* _wanted_integer(
        self, const uint8_t* p, int depth, int roles
    ) except? NULL:
        cdef const uint8_t* start = p
        cdef bint quoted = p[0] == 34
        cdef int64_t value = 0
        p = read_integer(p + quoted, &value)
        if p != NULL and quoted and p[0] == 34:
            p += 1
        elif p == NULL or quoted or p[0] == 46 or (p[0] | 32) == 101:
            p = step_value(start, depth)
            if p == NULL:
                return NULL
            if not quoted or not self._odd_integer(start, p, &value):
                self._whole = False
        if roles == FIRST:
            self.first = value
        elif roles == LAST:
            self.last = value
        elif roles == PREVIOUS:
            self.previous = value
        else:
            self.stamp_ms = value
        return p

    cdef bint _odd_integer(
        self, const uint8_t* start, const uint8_t* end, int64_t* value
    ) except -1:
        cdef const uint8_t* p
        plain = token(start, end).encode()
        p = read_integer(<const uint8_t*>PyBytes_AS_STRING(plain), value)
        return p - <const uint8_t*>PyBytes_AS_STRING(plain) == PyBytes_GET_SIZE(plain)

    cdef inline const uint8_t* _wanted_levels(
        self, const uint8_t* p, int depth, bint is_bids
    ) except? NULL:
        cdef const uint8_t* start = p
        if p[0] == 91 and self._entry is not None and depth + 2 <= NESTING_MAX:
            p = self._stage(p, is_bids)
            if p != NULL:
                return p
        p = step_value(start, depth)
        if p == NULL:
            return NULL
        if start[0] != 91:
            self._stopped = True
            return NULL
        if is_bids:
            self._bids_at = start
            self._bids_size = p - start
        else:
            self._asks_at = start
            self._asks_size = p - start
        return p

    cdef inline const uint8_t* _stage(self, const uint8_t* p, bint is_bids) except? NULL:
        cdef Book book = self._entry.book
        if is_bids:
            return stage_plain(p, &book._prices, &book._sizes, 1, &self._new_bids)
        return stage_plain(p, &book._prices, &book._sizes, -1, &self._new_asks)

    # Judging what was found.

    cdef int _other(self) noexcept:
        self._forget_frame()
        return OTHER

    cdef int _malformed(self) except -1:
        self.stamp_ms = self.first = self.last = self.previous = 0
        if self._entry is not None:
            self.book = self._entry.book
            self._entry.book.lose()
        return MALFORMED

    cdef bint _complete(self) noexcept:
        # Whether all that the channel's rule needs was there.
        cdef int needed = BIDS | ASKS | (self._has & SNAPSHOT)
        if self._rule != NONE:
            needed |= LAST
            if self._rule == SPAN and not self._replaces():
                needed |= FIRST
            elif self._rule == LINKED and not self._replaces():
                needed |= PREVIOUS
        return self._whole and (self._met & needed) == needed

    cdef inline bint _replaces(self) noexcept:
        return self._said_snapshot or (
            self._restart_at >= 0 and self._met & LAST and self.last == self._restart_at
        )

    cdef int _judge(self, int64_t at) except -1:
        cdef Book book
        cdef int refused
        cdef bint replace
        cdef int64_t last
        if not self._met & KIND or not self._named or not self._met & (BIDS | ASKS):
            return self._other()
        if not self._complete():
            return self._malformed()
        if self._entry is None:
            return UNKNOWN
        book = self._entry.book
        self.book = book
        if self._bids_at != NULL or self._asks_at != NULL:
            refused = self._stage_late(book)
            if refused == BAD:
                return self._malformed()
            if refused == OFF:
                book.lose()
                return OFF_GRID
        replace = self._replaces()
        last = self.last if self._met & LAST else book.sequence + 1
        if not replace:
            refused = self._sequence(book)
            if refused:
                if refused == GAP:
                    book.lose()
                return refused
        book.change(&self._new_bids, &self._new_asks, replace, at, last)
        if book.crossed:
            return CROSSED
        return REPLACED if replace else APPLIED

    cdef int _stage_late(self, Book book) except -1:
        # Levels that came before the name, or that the fast way did not take.
        cdef int bid = FINE, ask = FINE
        if self._bids_at != NULL and self._stage(self._bids_at, True) == NULL:
            levels = token(self._bids_at, self._bids_at + self._bids_size)
            bid = stage_decoded(levels, &book._prices, &book._sizes, 1, &self._new_bids)
        if self._asks_at != NULL and self._stage(self._asks_at, False) == NULL:
            levels = token(self._asks_at, self._asks_at + self._asks_size)
            ask = stage_decoded(levels, &book._prices, &book._sizes, -1, &self._new_asks)
        return BAD if bid == BAD or ask == BAD else OFF if bid == OFF or ask == OFF else FINE

    cdef inline int _sequence(self, Book book) noexcept:
        # 0 when the frame is the next one of the book.
        cdef int64_t known = book.sequence, last = self.last
        if not book.known:
            return UNSYNCED
        if self._rule == PLUS_ONE:
            if last == known + 1:
                return 0
        elif self._rule == SPAN:
            if self.first <= known + 1 <= last:
                return 0
        elif self._rule == LINKED:
            if self.previous == known:
                return 0
            if book.bridging:
                if self.previous <= known <= last:
                    return 0
                return STALE if last < known else GAP
        else:
            return 0
        return STALE if last <= known else GAP
