"""The HTML report and its plots, from a results document and its ranking. Pure; one file, no network."""

from provisioning.report.page import render

__all__ = ["render"]
