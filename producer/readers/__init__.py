"""Readers: from a file of one make of cycler to Arrow tables in the columns of the contract."""
