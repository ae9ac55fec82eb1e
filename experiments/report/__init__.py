"""The report of a comparison: statistics, sentences, figures, pages."""
