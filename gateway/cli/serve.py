"""The command `efcx-gateway serve`."""
