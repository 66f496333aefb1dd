"""Has the thread that waits for a message read it from its connection itself. To be imported before gRPC.

By default gRPC's own threads read and hand over, which makes 64 KiB there and a reply back a third slower.
"""

import os

# gRPC reads this when it is loaded.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
