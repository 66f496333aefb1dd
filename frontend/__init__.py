"""Request in, answer out: generator and receiver of every plan that has this server as its device."""
