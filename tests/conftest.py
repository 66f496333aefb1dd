"""What all tests need."""

import signal

from hypothesis import HealthCheck, settings

# The gate tries the same examples every time; `pytest --hypothesis-profile explore` looks for new ones.
# How fast examples are made is up to the machine, and decides no test.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", PATIENT, derandomize=True)
settings.register_profile("explore", PATIENT)
settings.load_profile("repeatable")

# A shell that runs the tests in the background has them ignore Ctrl-C; tests of Ctrl-C, and the processes they start,
# need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)
