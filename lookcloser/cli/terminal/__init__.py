"""What the verbs share: words on the terminal, signals and options."""
