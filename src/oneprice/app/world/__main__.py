"""`python -m oneprice.app.world [FIRST [COUNT]]`: worlds without the command line of the house."""

import sys

from oneprice.app.world.campaign import campaign


def main(arguments: list[str]) -> int:
    """Print the figures; 1 where a world did not hold."""
    first, count = [int(word) for word in (*arguments, *("0", "100")[len(arguments) :])][:2]
    tally = campaign(range(first, first + count))
    sys.stdout.write("\n".join(tally.lines()) + "\n")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
