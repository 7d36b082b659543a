"""What is asked of every page, and what its answers are: fields, typed values, and where on the page they were read."""
