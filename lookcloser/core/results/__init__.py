"""What an evaluation and an audit found, and how it is shown."""
