"""`python -m vyre_dist`: the same as the command vyre-dist."""

from vyre_dist.cli.main import main

if __name__ == "__main__":
    main()
