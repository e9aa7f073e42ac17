"""What Asgard is compared to, each installed below `.bench/` when it is first needed.

The directory is kept between runs; `make clean` removes it.
"""

from pathlib import Path

INSTALLED = Path(__file__).parent.parent.parent / ".bench"


class PeerMissing(Exception):
    """A peer cannot be had on this machine; says why."""
