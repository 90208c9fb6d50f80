"""What administrators do for users, by pages, by programs or on the command line."""
