"""Sealing, signing and one-time codes: pure functions of the keys that callers pass in."""
