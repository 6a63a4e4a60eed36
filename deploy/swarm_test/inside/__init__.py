"""Programs that run inside an application container; the test pipes them to its Python."""
