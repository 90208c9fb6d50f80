"""Models of the settings files, and the values built from them."""
