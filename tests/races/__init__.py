"""Many writers at once, in real processes, on real databases; each proof with its control."""
