"""A daemon for tests that says it is of another version, as after an upgrade; and its warden, which
is started by path and isolated."""

import os
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../.."))

import torcd

torcd.__version__ = "0.other"

if __name__ == "__main__" and sys.argv[1] == "run":
    from torcd import __main__
    from torcd.executors.local import launching

    launching._PROGRAM = os.path.abspath(__file__)
    sys.exit(__main__.main())
elif __name__ == "__main__":
    from torcd.executors.warden.__main__ import main

    sys.exit(main())
