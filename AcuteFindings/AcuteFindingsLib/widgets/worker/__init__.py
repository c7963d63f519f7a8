"""The worker process and who asks it."""
