"""Sessions: a finished login becomes one, and only a session opens an app."""
