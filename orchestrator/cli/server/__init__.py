"""Commands that run our processes or prepare the database."""
