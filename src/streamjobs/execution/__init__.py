"""What runs handlers: one small class for each kind, behind the engine's `Execution` port."""
