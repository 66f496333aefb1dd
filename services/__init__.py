"""The gRPC side of Partita: a servicer and a client for each service; ``python -m services NAME…`` runs them."""
