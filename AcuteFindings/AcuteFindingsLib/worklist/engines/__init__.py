"""What lets many examinations be read at once: processes of this computer, or an engine that has many computers."""
