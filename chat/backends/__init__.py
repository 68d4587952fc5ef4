"""Django's database backends with the additional safety that Steady's promise requires."""
