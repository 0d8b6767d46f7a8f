"""How far an answer can be trusted: grades, bands, evidence."""
