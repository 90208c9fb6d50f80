"""What all pages share: requests, cookies, forms, protections, failures."""
