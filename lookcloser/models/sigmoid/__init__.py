"""One sigmoid per label; see README.md."""
