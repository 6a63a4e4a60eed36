"""Files that people upload: what is let in, and where it is kept."""
