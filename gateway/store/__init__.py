"""State on bytes: the store, and typed values, limits, single use and notices over it."""
