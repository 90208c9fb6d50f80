"""The administration pages, `/-/admin`."""
