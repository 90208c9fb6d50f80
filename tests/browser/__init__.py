"""The gateway as people meet it: in a real Chromium."""
