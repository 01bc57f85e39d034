"""Events, listeners, subscriptions and deliveries."""
