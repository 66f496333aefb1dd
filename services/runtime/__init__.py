"""What all services share: server lifecycle, settings, logs, errors, streams, workers."""
