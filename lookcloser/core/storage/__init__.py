"""Files: found, looked through, written whole or not at all, and locked."""
