"""Invented people, clinics and visits: pure generation, deterministic for a seed and a day."""
