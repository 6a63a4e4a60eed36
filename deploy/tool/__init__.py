"""What `deploy/stack` does, with nothing but Python and the docker command."""
