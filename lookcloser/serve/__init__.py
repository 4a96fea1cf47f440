"""Answers over HTTP: REST, a page, and the contracts of tools that ask for labels and boxes.

Nothing here is imported before it is used: the libraries are an extra.
"""
