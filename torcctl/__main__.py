"""`python -m torcctl`."""

from torcctl.entry import main

main()
