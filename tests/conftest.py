"""What all tests need."""

import signal

# A shell that runs the tests in the background has them ignore Ctrl-C; tests of Ctrl-C, and the processes they start,
# need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)
