"""What belongs to one framework. Nothing else imports it, and its frameworks are no dependency."""
