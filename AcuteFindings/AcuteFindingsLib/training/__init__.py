"""Fitting the models that ship. Nothing at inference imports this."""
