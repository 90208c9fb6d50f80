"""Makes the reference codes that an error page shows and the log line of the same request carries."""

from gateway.domain.ports import Random

REFERENCE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 letters that no user confuses on the telephone: no 0, 1, I, O."""


def new_reference(random: Random) -> str:
    """Eight letters, 40 bits: enough to find one line among those of a year."""
    return "".join(REFERENCE_LETTERS[byte % 32] for byte in random.token_bytes(8))
