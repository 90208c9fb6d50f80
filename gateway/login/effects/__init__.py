"""The effects of a login: the actions of the gateway between its pages.

Each effect runs after the record says that it is due, is idempotent or claimed, and the next GET repeats it after a
failure. `steps/register.py` has the effect `draft`, because its page shows the secret that the effect makes.
`open_session.py` has `open` and `touch`.
"""
