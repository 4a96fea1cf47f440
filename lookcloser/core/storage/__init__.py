"""Files: found, written whole or not at all, and locked."""
