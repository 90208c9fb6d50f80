"""Records that expire: a small byte store and the typed layer above it."""
