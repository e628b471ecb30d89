"""The vocabulary: plain frozen data that every other package speaks."""
