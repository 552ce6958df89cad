"""Pages that are made on the server, whole, and work without scripts: forms, tables, words."""
