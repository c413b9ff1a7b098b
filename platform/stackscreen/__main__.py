"""`python -m stackscreen` is the `stackscreen` command."""

from stackscreen.cli import main

main()
