"""What a trace is worth: success ratios, thinking factors."""
