"""The peers that Asgard is compared with, installed below `.bench/` when first needed.

The directory is kept between runs; `make clean` removes it.
"""

from pathlib import Path

INSTALLED = Path(__file__).parent.parent.parent / ".bench"


class PeerMissing(Exception):
    """A peer is not available on this machine; the text says why."""
