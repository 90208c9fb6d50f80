"""Whole logins through the whole gateway."""
