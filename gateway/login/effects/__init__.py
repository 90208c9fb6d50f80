"""The effects of a login, one module each: the actions of the gateway between its pages.

Each effect runs after the record says that it is due, is idempotent or claimed, and is tried again by the next GET when
it failed.
"""
