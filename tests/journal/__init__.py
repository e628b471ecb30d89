"""Tests of reading a journal."""
