"""Plays the traces of a lab's links: run as ``python -m lab.player LAB`` by ``partita lab up``."""

import sys
import time
from dataclasses import replace

from lab import state
from lab.lifecycle import change_link
from lab.state import Change
from lab.trace import changes


def main() -> None:
    """Change links when their traces say so; after its last line a trace's link stays as it is."""
    name = sys.argv[1]
    begin = time.monotonic()
    for seconds, link, shape in changes(state.load(name).topology.links):
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        # Jitter and loss may have been changed by hand meanwhile.
        now = state.load(name).topology.link(link.name).shape
        kept = replace(shape, jitter_seconds=now.jitter_seconds, loss=now.loss)
        change_link(name, Change(link.source, link.target, kept))


if __name__ == "__main__":
    main()
