"""The login: machine, flow, pages."""
