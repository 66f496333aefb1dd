"""What running a component for several waiting requests at once brings, and what it costs each of them."""
