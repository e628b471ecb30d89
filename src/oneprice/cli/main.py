"""The entry point of `oneprice`: whatever is wrong with the input is one clear line."""

import os
import sys


def main() -> None:
    """Run the command; ends the process with its status."""
    try:
        # Loading takes a moment, and Ctrl-C may fall into it.
        from oneprice.cli.commands import invoke  # noqa: PLC0415

        status = invoke()
    except KeyboardInterrupt:
        status = 130  # as shells name an end by Ctrl-C
    except BrokenPipeError:
        # Whoever read us has gone; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
