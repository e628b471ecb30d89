"""Simulated venues: an inner exchange and a wire side for each venue."""
