"""``python -m lookcloser``."""

from lookcloser.cli import main

if __name__ == "__main__":
    main()
