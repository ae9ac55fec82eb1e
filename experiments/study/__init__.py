"""What is compared, how it is tuned and trained, and the log of it."""
