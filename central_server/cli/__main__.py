"""`python -m central_server.cli`: the same as `central-server`."""

from central_server.cli.main import main

if __name__ == "__main__":
    main()
