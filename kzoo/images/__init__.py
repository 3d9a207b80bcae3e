"""Pictures: from what a user has to what a network reads."""
