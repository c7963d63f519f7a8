"""The list of studies to be read: how urgent each is, and what an order does to how long studies wait."""
