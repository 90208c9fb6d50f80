"""The limits of one connection of a client, in each of its states.

aiohttp's server limits only idle connections. The other limits are here: for the head of a request, for its body, for
bytes that a client sends ahead while it is answered, and for the time in which it takes its answer (the table is in
`docs/operations.md`). `client_connection` enforces them.
"""

from dataclasses import dataclass

READ = 16 * 1024
"""Bytes of one read, at most."""
READ_OF_UPLOAD = 256 * 1024
"""Bytes of one read of a body that a signed-in user sends to an app; small reads would double its cost."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection, in seconds and bytes; `per_address` and `connections` (of all clients together) count
    connections, `body_rate` bytes a second.

    `head_bytes`: of one head. `head`: from the first byte of a request to the end of its head. `body_grace` + received
    bytes / `body_rate`: from there to the end of the body; the time does not pass while the app takes no more, nor
    while it answers a signed-in user already. `ahead`:
    bytes held behind a request that is being answered, at which reading pauses; one more read is possible (`READ`).
    `answer_bytes`: of an answer that wait for the client before the app waits too; one more write is possible.
    `least_taken`: bytes of its answer that a client takes in `stall` seconds, or it is cut.
    """

    head: float = 10.0
    head_bytes: int = 48 * 1024
    body_grace: float = 10.0
    body_rate: float = 1024.0
    ahead: int = 16 * 1024
    answer_bytes: int = 8 * 1024
    stall: float = 30.0
    least_taken: int = 4096
    per_address: int = 1000
    connections: int = 10_000
