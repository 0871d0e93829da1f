"""For reviewers."""
