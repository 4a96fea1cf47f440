"""Which way a run learns."""
