"""Masks an address on pages and in the audit.

The owner recognises the address; other readers do not learn it. At most the first letters and the top-level domain of a
mail address stay, or the last two digits of a number. Pure.
"""


def mask_address(address: str) -> str:
    """`anna@example.com` → `a***@e***.com`, `+49 170 1234512` → `***12`; the number of stars says nothing."""
    name, at, domain = address.strip().rpartition("@")
    if not at:
        tail = "".join(c for c in address if c.isalnum())
        return f"***{tail[-2:]}" if len(tail) > 4 else "***"
    host, dot, top = domain.rpartition(".")
    if not dot:
        host, top = domain, ""
    return f"{name[:1]}***@{host[:1]}***{dot}{top}"
