"""What is true: mathematics, code in a sandbox."""
