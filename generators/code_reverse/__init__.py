"""From working programs back to the chain of thought behind them."""
