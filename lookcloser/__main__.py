"""``python -m lookcloser``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python has put the current folder first: a data set's timm.py would be taken for timm.
        del sys.path[0]

    from lookcloser.cli import main

    main()
