"""`python -m wiggly`: the command line where the script `wiggly` is not on the path.

In: the words after it. Out: an exit code. Read next: `cli/__init__.py`.
"""

import sys

from wiggly.cli import main

if __name__ == "__main__":
    sys.exit(main())
