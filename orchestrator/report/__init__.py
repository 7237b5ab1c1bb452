"""The reports: one view of a matrix (`view.py`), written as HTML, Markdown, CSV, Parquet and for the terminal."""
