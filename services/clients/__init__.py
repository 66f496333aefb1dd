"""A client for each service, typed in the nouns of ``core``; needs nothing of the domain packages."""
