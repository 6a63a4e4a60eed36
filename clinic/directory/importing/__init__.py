"""Reading public files of hospitals: what they mean, what is wrong in them, what changed."""
