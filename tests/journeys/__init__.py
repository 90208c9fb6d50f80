"""Whole logins over the whole gateway."""
