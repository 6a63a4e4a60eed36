"""The one-machine installation, run for real, as root on Debian 12 (docs/operations.md)."""
