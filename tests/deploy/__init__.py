"""What brings the site to servers."""
