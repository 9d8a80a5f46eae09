"""The same job with other libraries: programs as their documentation writes them, each in a process of its own.

None of them imports the pipeline's flow or sink. They share the contract with it: the content of a message, and the
names and ranges of the columns.
"""
