"""What administrators and their programs do with tenants and users."""
