"""The one error that kzoo raises for what a user handed to it."""


class KzooError(ValueError):
    """A mistake in the input; the message says what came, what was expected and what to do."""


class EmptyTextError(KzooError):
    """A text without a token, the one at `place` of some; `named` says the same of its own name."""

    def __init__(self, place):
        self.place = place
        super().__init__(self.named(f"Text {place}"))

    @staticmethod
    def named(name):
        """The sentence about a text that is called `name` where it came from."""
        return (
            f"{name} has no token that the model could read: give one with characters that its "
            "tokenizer keeps."
        )
