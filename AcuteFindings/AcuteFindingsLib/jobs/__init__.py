"""The jobs that a person starts: one study from reading to report, or many single images."""
