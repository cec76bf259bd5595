"""Bump fits: smooth backgrounds, peaks, costs, fits of one spectrum or thousands, and the checks of a fit."""
