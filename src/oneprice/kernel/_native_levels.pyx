# Part of _native.pyx: decimal text to counts, and one side of a book.

cdef extern from *:
    """
    typedef __int128 oneprice_i128;
    """
    ctypedef long long i128 "oneprice_i128"

cdef enum:
    FINE = 0
    BAD = 1
    OFF = 2

cdef struct Grid:
    int decimals
    uint64_t multiple
    uint64_t count_max

cdef struct Level:
    int64_t key  # ticks of a bid, -ticks of an ask: the best has the greatest
    int64_t lots

cdef struct Side:
    Level* level
    Py_ssize_t size
    Py_ssize_t room

cdef uint64_t[19] POWERS
cdef uint64_t _power = 1
for _place in range(19):
    POWERS[_place] = _power
    _power *= 10


cdef inline int read_count(
    const uint8_t** cursor, const Grid* grid, int64_t* count
) noexcept nogil:
    # Reads a number up to its closing quote. The frame ends with a zero byte, so no bound is
    # needed: every loop stops at a byte that it does not know.
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* first = p
    cdef uint64_t value = 0
    cdef uint8_t digit = p[0] - 48
    cdef int left = grid.decimals
    cdef bint off = False
    if digit > 9:
        return BAD
    if digit == 0:
        p += 1
    else:
        while digit <= 9:
            value = value * 10 + digit
            p += 1
            digit = p[0] - 48
        if p - first + left > DIGITS_MAX:
            return BAD
    if p[0] == 46:  # .
        p += 1
        first = p
        while left > 0:
            digit = p[0] - 48
            if digit > 9:
                break
            value = value * 10 + digit
            p += 1
            left -= 1
        while p[0] == 48:
            p += 1
        digit = p[0] - 48
        if digit <= 9:
            off = True
            while digit <= 9:
                p += 1
                digit = p[0] - 48
        if p == first:
            return BAD
    if p[0] != 34:  # "
        return BAD
    cursor[0] = p + 1
    if off:
        return OFF
    if left:
        value *= POWERS[left]
    if grid.multiple != 1:
        if value % grid.multiple:
            return OFF
        value //= grid.multiple
    if value > grid.count_max:
        return BAD
    count[0] = <int64_t>value
    return FINE


cdef int side_room(Side* side, Py_ssize_t room) except -1:
    # Make room for so many levels in all.
    cdef Py_ssize_t wider = side.room
    cdef Level* moved
    if room <= side.room:
        return 0
    if wider < 16:
        wider = 16
    while wider < room:
        wider *= 2
    moved = <Level*>realloc(side.level, wider * sizeof(Level))
    if moved == NULL:
        raise MemoryError()
    side.level = moved
    side.room = wider
    return 0


cdef inline void side_set(Side* side, int64_t key, int64_t lots) noexcept nogil:
    # Set, add or (lots 0) delete one level; the room was made before.
    cdef Level* level = side.level
    cdef Py_ssize_t high = side.size
    cdef Py_ssize_t low, middle
    cdef Py_ssize_t near = high - 16 if high > 16 else 0
    # Where does the first level >= key stand? Most changes are near the touch.
    while high > near and level[high - 1].key >= key:
        high -= 1
    if high == near and near > 0:
        low = 0
        while low < high:
            middle = (low + high) >> 1
            if level[middle].key < key:
                low = middle + 1
            else:
                high = middle
    if high < side.size and level[high].key == key:
        if lots:
            level[high].lots = lots
        else:
            side.size -= 1
            memmove(&level[high], &level[high + 1], (side.size - high) * sizeof(Level))
    elif lots:
        memmove(&level[high + 1], &level[high], (side.size - high) * sizeof(Level))
        level[high].key = key
        level[high].lots = lots
        side.size += 1


cdef void side_replace(Side* side, const Side* staged) noexcept nogil:
    # Venues send snapshots best first without repetition: then this is a reversed copy.
    cdef Py_ssize_t i
    cdef Py_ssize_t count = staged.size
    cdef bint plain = True
    side.size = 0
    for i in range(count):
        if staged.level[i].lots == 0 or (i and staged.level[i].key >= staged.level[i - 1].key):
            plain = False
            break
    if plain:
        for i in range(count):
            side.level[count - 1 - i] = staged.level[i]
        side.size = count
    else:
        for i in range(count):
            side_set(side, staged.level[i].key, staged.level[i].lots)


cdef inline uint64_t mix(uint64_t state, uint64_t word) noexcept nogil:
    state = (state ^ word) * <uint64_t>0x9E3779B97F4A7C15 + <uint64_t>0x632BE59BD9B4E019
    return state ^ (state >> 29)


cdef inline const uint8_t* space(const uint8_t* p) noexcept nogil:
    while p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9:
        p += 1
    return p


cdef int stage(Side* staged, int64_t key, int64_t lots) except -1:
    if staged.size == staged.room:
        side_room(staged, staged.size + 1)
    staged.level[staged.size].key = key
    staged.level[staged.size].lots = lots
    staged.size += 1
    return 0


cdef int read_text(str text, const Grid* grid, int64_t* count) except -1:
    cdef bytes quoted = text.encode("utf-8", "surrogatepass") + b'"'
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(quoted)
    cdef const uint8_t* p = start
    cdef int found = read_count(&p, grid, count)
    if found != BAD and p - start != PyBytes_GET_SIZE(quoted):
        return BAD
    return found


cdef int stage_decoded(
    object raw, const Grid* price, const Grid* size, int64_t sign, Side* staged
) except -1:
    # The thorough way, level by level from what msgspec decoded. FINE, OFF or BAD.
    cdef int64_t ticks = 0, lots = 0
    cdef int worst = FINE, priced, sized
    staged.size = 0
    if type(raw) is not list:
        return BAD
    for level in raw:
        if type(level) is not list or len(level) < 2:
            return BAD
        if type(level[0]) is not str or type(level[1]) is not str:
            return BAD
        for rest in level[2:]:
            if type(rest) is list or type(rest) is dict:
                return BAD
        priced = read_text(level[0], price, &ticks)
        sized = read_text(level[1], size, &lots)
        if priced == BAD or sized == BAD or (priced == FINE and ticks == 0):
            return BAD
        if priced == OFF or sized == OFF:
            worst = OFF
        else:
            stage(staged, sign * ticks, lots)
    return worst


cdef const uint8_t* stage_plain(
    const uint8_t* p,
    const Grid* price,
    const Grid* size,
    int64_t sign,
    Side* staged,
) except? NULL:
    # The fast way, for [["price","size"],...] with nothing odd in it; NULL when something is.
    cdef int64_t ticks = 0, lots = 0
    staged.size = 0
    if p[0] != 91:  # [
        return NULL
    p = space(p + 1)
    if p[0] == 93:  # ]
        return p + 1
    while True:
        if p[0] != 91:
            return NULL
        p = space(p + 1)
        if p[0] != 34:  # "
            return NULL
        p += 1
        if read_count(&p, price, &ticks) != FINE or ticks == 0:
            return NULL
        p = space(p)
        if p[0] != 44:  # ,
            return NULL
        p = space(p + 1)
        if p[0] != 34:
            return NULL
        p += 1
        if read_count(&p, size, &lots) != FINE:
            return NULL
        p = space(p)
        while p[0] == 44:  # OKX: two more texts, here only when they are plain
            p = space(p + 1)
            if p[0] != 34:
                return NULL
            p += 1
            while 48 <= p[0] <= 57 or p[0] == 46:
                p += 1
            if p[0] != 34:
                return NULL
            p = space(p + 1)
        if p[0] != 93:
            return NULL
        stage(staged, sign * ticks, lots)
        p = space(p + 1)
        if p[0] == 93:
            return p + 1
        if p[0] != 44:
            return NULL
        p = space(p + 1)
