"""A user's own page: which second factors are on, and what he may do about them."""
