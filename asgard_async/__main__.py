"""`python -m asgard_async` is `asgard`."""

from asgard_async.cli.main import main

main(prog_name="asgard")
