"""Panels and controls shared by the modules; they need Qt and the running application."""
