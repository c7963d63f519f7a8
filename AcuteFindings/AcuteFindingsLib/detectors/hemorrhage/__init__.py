"""Intracranial hemorrhage on head CT."""
