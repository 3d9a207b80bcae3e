"""`python -m kzoo`: the same as the command `kzoo`."""

from .cli import main

main()
