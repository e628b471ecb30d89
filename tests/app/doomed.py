"""`oneprice`, killed without a word at a chosen write to its journal.

    doomed.py PLACE PATTERN NUMBER ARGUMENTS...

PLACE: before, half or after the write; PATTERN: what the record must contain to be counted.
"""

import sys

from oneprice.app.drills.doomed import doom
from oneprice.cli.main import main

if __name__ == "__main__":
    place, pattern, number, *words = sys.argv[1:]
    doom(place, pattern.encode(), int(number))
    sys.argv[1:] = words
    main()
