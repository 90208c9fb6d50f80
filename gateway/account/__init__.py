"""A user's own page: their second factors, and a form for each change."""
