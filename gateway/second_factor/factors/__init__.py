"""One module for each kind of second factor."""
