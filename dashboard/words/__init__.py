"""Everything in plain words: columns, codes, rules, amounts, and tables of them."""
