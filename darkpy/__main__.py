"""Run the command line: python -m darkpy."""

from .cli import main

main()
