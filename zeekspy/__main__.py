"""python -m zeekspy"""

import sys

from zeekspy.cli import main

if __name__ == "__main__":
    sys.exit(main())
