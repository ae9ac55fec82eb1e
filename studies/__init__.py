"""The published questions: a file for each, and beside it what was run and came out."""
