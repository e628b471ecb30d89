"""oneprice finds the same thing at two prices, trades the difference and proves what it earned."""

__version__ = "2026.11.0"
