"""A release whose last migration fails: what an update must survive. Part of no site."""
