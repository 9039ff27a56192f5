"""The sentences of the pages: one module for each page or part, and nothing but words in it.

A label of a few words stands where it is used. Sentences about a scan, such as why a file cannot be read, are
the library's own.
"""
