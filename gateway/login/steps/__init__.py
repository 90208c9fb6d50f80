"""The pages of a login, one module each: its form, its act, its view."""
