"""The one error that kzoo raises for what a user handed to it."""


class KzooError(ValueError):
    """A mistake in the input; the message says what came, what was expected and what to do."""
