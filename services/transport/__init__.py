"""Tensors between processes: one long-lived stream each way, shared memory, or the array itself."""
