"""`python -m gossipgroups.cli`: the command line of this interpreter's own installation."""

from gossipgroups.cli import main

if __name__ == "__main__":
    main()
