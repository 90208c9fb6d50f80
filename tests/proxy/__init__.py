"""The proxy, from one raw byte to the next."""
