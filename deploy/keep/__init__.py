"""Backups: encrypted dumps and binary logs, and the way back from them. Standard library only."""
