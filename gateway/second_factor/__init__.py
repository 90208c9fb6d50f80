"""All of the second factor that is not a page."""
