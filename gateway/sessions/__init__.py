"""What a finished login becomes: the only thing that opens an app."""
