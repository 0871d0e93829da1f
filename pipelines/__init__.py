"""What a data engineer runs: commands, configuration, the Dask graph, shards, reports."""
