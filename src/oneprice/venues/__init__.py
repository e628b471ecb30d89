"""Venues as pages of facts and pure translators between their frames and our words."""
