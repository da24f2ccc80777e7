"""The sections of the page that every run has, whatever it learns: one file each, `section(record)`."""
