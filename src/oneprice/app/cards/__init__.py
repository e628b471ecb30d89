"""Conformance cards: numbered promises that every venue keeps for the features it declares."""
