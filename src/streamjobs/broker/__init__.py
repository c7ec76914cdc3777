"""The rim: ports that the engine speaks to, and the adapters behind them."""
