"""Sealing, signing and one-time codes."""
