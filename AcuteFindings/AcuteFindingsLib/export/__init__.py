"""Findings leave the program: reports for people."""
