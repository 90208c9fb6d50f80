"""Sealing, signing and codes: pure functions over keys that are passed in."""
