"""The words of the gateway as frozen values; standard library only."""
