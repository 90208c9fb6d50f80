"""From files to one frozen configuration."""
