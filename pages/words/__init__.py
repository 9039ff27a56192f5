"""What the pages say: one module for each page or part, and nothing but words in it.

What the library says of a scan, why a file cannot be read or why the gate refuses it, is `brat`'s own.
"""
