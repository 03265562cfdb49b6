"""Tables: rows of categories and numbers in, a label or numbers out."""
