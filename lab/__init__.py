"""A testbed on one machine: servers in network namespaces, with links as slow and as far as a file says."""
