"""Who writes: policies, networks with heads, tokenizers, batched sampling."""
