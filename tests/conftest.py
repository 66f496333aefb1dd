"""What all tests need."""

import signal

from hypothesis import settings

# The gate tries the same examples every time; `pytest --hypothesis-profile explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("repeatable")

# A shell that runs the tests in the background has them ignore Ctrl-C; tests of Ctrl-C, and the processes they start,
# need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)
