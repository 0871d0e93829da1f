"""What a training job runs: reading shards, training, evaluation."""
