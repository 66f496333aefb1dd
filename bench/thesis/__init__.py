"""The thesis's chapter of experiments, redone on the lab, as one report; ``partita bench thesis`` runs it."""
