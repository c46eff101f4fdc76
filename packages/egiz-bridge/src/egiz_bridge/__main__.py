"""`python -m egiz_bridge` is `egiz-bridge`."""

from egiz_bridge.cli.main import main

main(prog_name="egiz-bridge")
