"""What every implementation of one interface must do alike."""
