"""The click shell: options in, answers and exit codes out."""
