"""The pages, a module each: every one looks, lets the visitor choose, and draws."""
