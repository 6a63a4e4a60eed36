"""System checks: what an operator can get wrong, and how to put it right."""
