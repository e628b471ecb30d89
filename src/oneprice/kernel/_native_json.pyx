# Part of _native.pyx: stepping over JSON.
#
# Every function steps over what stands at p and returns where it ends, NULL where msgspec would
# not take the text. The zero byte behind a frame ends every loop.

# 1: a byte at which reading a text must stop and look.
cdef uint8_t[256] LOOK
for _place in range(256):
    LOOK[_place] = _place < 32 or _place >= 128 or _place in (34, 92)


cdef inline const uint8_t* read_integer(const uint8_t* p, int64_t* value) noexcept nogil:
    # -?(0|[1-9][0-9]{0,17}); NULL for anything else, the byte after the digits is the caller's.
    cdef bint negative = p[0] == 45
    cdef const uint8_t* first
    cdef int64_t total = 0
    cdef uint8_t digit
    if negative:
        p += 1
    first = p
    digit = p[0] - 48
    while digit <= 9 and p - first < 19:
        total = total * 10 + digit
        p += 1
        digit = p[0] - 48
    if p == first or p - first > 18 or (first[0] == 48 and p - first > 1):
        return NULL
    value[0] = -total if negative else total
    return p


cdef inline bint spells(const uint8_t* p, const char* word) noexcept nogil:
    while word[0]:
        if p[0] != <uint8_t>word[0]:
            return False
        p += 1
        word += 1
    return True


cdef object token(const uint8_t* start, const uint8_t* end):
    return _decode(PyBytes_FromStringAndSize(<const char*>start, end - start))


cdef bint accepted(const uint8_t* start, const uint8_t* end) except -1:
    try:
        token(start, end)
    except _FAULTS:
        return False
    return True


cdef const uint8_t* step_number(const uint8_t* start) except? NULL:
    # Any other number: find where it ends by the grammar, then let msgspec judge its range.
    cdef const uint8_t* p = start
    if p[0] == 45:
        p += 1
    if p[0] == 48:
        p += 1
    elif 49 <= p[0] <= 57:
        while 48 <= p[0] <= 57:
            p += 1
    else:
        return NULL
    if p[0] == 46 and 48 <= p[1] <= 57:
        p += 1
        while 48 <= p[0] <= 57:
            p += 1
        if (p[0] | 32) != 101 and p - start <= 300:
            return p
    if (p[0] | 32) == 101:
        if 48 <= p[1] <= 57:
            p += 1
        elif (p[1] == 43 or p[1] == 45) and 48 <= p[2] <= 57:
            p += 2
        while 48 <= p[0] <= 57:
            p += 1
    return p if accepted(start, p) else NULL


cdef const uint8_t* step_odd_text(const uint8_t* start, const uint8_t* p) except? NULL:
    while p[0] != 34:
        if p[0] < 32:
            return NULL
        if p[0] == 92:
            p += 1
            if p[0] < 32:
                return NULL
        p += 1
    p += 1
    return p if accepted(start, p) else NULL


cdef inline const uint8_t* step_text(const uint8_t* start) except? NULL:
    cdef const uint8_t* p = start + 1
    while not LOOK[p[0]]:
        p += 1
    if p[0] == 34:
        return p + 1
    return step_odd_text(start, p)


cdef const uint8_t* step_scalar(const uint8_t* p) except? NULL:
    cdef int64_t number
    cdef const uint8_t* end
    cdef uint8_t byte = p[0]
    if byte == 34:
        return step_text(p)
    if byte == 45 or 48 <= byte <= 57:
        end = read_integer(p, &number)
        if end != NULL and end[0] != 46 and (end[0] | 32) != 101 and not 48 <= end[0] <= 57:
            return end
        return step_number(p)
    if byte == 116 and spells(p, b"true"):
        return p + 4
    if byte == 102 and spells(p, b"false"):
        return p + 5
    if byte == 110 and spells(p, b"null"):
        return p + 4
    return NULL


cdef const uint8_t* step_value(const uint8_t* p, int depth) except? NULL:
    # Any value, `depth` containers deep, whatever its keys are.
    cdef uint8_t closing
    if p[0] != 123 and p[0] != 91:  # { [
        return step_scalar(p)
    depth += 1
    if depth > NESTING_MAX:
        return NULL
    closing = p[0] + 2  # } and ] stand two after { and [
    p = space(p + 1)
    if p[0] == closing:
        return p + 1
    while True:
        if closing == 125:
            if p[0] != 34:
                return NULL
            p = step_text(p)
            if p == NULL:
                return NULL
            p = space(p)
            if p[0] != 58:  # :
                return NULL
            p = space(p + 1)
        p = step_value(p, depth)
        if p == NULL:
            return NULL
        p = space(p)
        if p[0] == closing:
            return p + 1
        if p[0] != 44:
            return NULL
        p = space(p + 1)
