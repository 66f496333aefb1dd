"""The nouns of Partita: frozen dataclasses, their file formats, the cost formulas and the errors."""
