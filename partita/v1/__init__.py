"""Messages and stubs generated from ``proto/partita/v1`` by ``make generate``; never edited by hand."""
