"""The pages, one module each: a page looks at data, lets the visitor choose, and draws."""
