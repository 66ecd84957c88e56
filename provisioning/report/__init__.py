"""The HTML report and its plots, from a results document."""
