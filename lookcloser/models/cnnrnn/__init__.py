"""Tags as a path through a recurrent network; see README.md."""
