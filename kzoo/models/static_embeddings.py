"""Static embeddings: a vector for each token, whatever stands beside it, and their mean.

word2vec, Mikolov et al. 2013, arXiv:1301.3781; GloVe, Pennington et al. 2014, aclanthology.org
D14-1162; a sentence encoder's vocabulary in its own vectors, github.com/MinishLab/model2vec.
"""

import keras

from ..errors import KzooError
from ..network import Network
from ..parts import make
from ..spec import Spec


@keras.saving.register_keras_serializable("kzoo")
class Static(Network):
    """A table of tokens and nothing else; a task's pooling, usually the mean, makes one of several.

    How much a token counts in the mean is the length of its vector.

    Inputs: int32 `token_ids` and `padding_mask`, (batch, length). Outputs: `sequence_output`
    (batch, length, hidden_dim), the tokens' vectors.
    """

    family = "static"
    HEADS = {"TextClassifier": "mean"}
    blocks_alike = False

    def wire(self):
        """Make the table."""
        if self.spec.schedule:
            raise KzooError(
                f"Got the schedule {list(self.spec.schedule)} for static embeddings; expected []: "
                "they have no blocks."
            )
        self.token_embedding = make(
            "embedding", self.spec.embedding, spec=self.spec, name="token_embedding"
        )

    @property
    def embedding(self):
        """The table."""
        return self.token_embedding

    @property
    def signatures(self):
        """Tokens."""
        return {"serve": self.token_embedding.signature}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        return {"sequence_output": ("batch", "length", "hidden_dim")}

    def call(self, inputs, training=None):
        """Tokens to their vectors."""
        return {"sequence_output": self.token_embedding(inputs, training=training)}


def static(table, padding_id, max_length):
    """A `Static` of a table of vectors (tokens, dim), for texts of at most `max_length` tokens."""
    tokens, dim = table.shape
    spec = Spec(
        Static.family,
        {"kind": "token", "vocabulary_size": tokens, "padding_id": padding_id},
        hidden_dim=dim,
        num_heads=1,
        intermediate_dim=1,
        schedule=(),
        max_sequence_length=max_length,
        dropout=0.0,
        position="none",
        norms=(),
        pooler="none",
    )
    made = Static(spec)
    made.token_embedding.embeddings.assign(table)
    return made
