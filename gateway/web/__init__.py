"""The check of every request, and all that the gateway's own pages share."""
