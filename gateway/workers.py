"""N processes on one port."""
