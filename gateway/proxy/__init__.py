"""The way of a request to an app and of its answer back: one decision, then one stream in each direction."""
