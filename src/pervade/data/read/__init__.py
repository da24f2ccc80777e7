"""From files, folders, tables and addresses as people have them to rows."""
