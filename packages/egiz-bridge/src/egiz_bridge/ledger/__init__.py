"""What is counted: messages, devices, latencies."""
