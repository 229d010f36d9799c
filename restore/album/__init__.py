"""Photographs of files and folders: which are meant, which are done, one after the other."""
