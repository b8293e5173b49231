"""`python -m stainproof`."""

from stainproof.cli import main

main()
