"""`python -m tastebench.cli`, where the `tastebench` script is not on the path."""

import sys

from tastebench.cli import main

if __name__ == "__main__":
    sys.exit(main())
