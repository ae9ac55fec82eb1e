"""What the runs of a comparison say: numbers, sentences, figures, pages."""
