"""What an operator sees: metrics, health, the service manager."""
