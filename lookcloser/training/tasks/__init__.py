"""What a step does, for each task."""
