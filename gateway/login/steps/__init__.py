"""One module for each step of a login: its form, its act, its view."""
