"""Django's MySQL backend, for a server that may be away (`ENGINE`: see ``base``)."""
