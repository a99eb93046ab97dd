"""`python -m edge_agent.cli`: the command line without its script."""

from edge_agent.cli.main import main

if __name__ == "__main__":
    main()
