"""What others would do the same with: honest programs of their libraries' own kind, each a process of its own.

None of them imports the pipeline's flow or its landing. What they share with it is the contract: what a message holds,
what a column is called, and where its values end.
"""
