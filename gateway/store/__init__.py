"""State: the store of bytes, and typed records, limits, locks, single use and replica events on top of it."""
