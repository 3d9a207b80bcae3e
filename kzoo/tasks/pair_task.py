"""What tasks share that learn from pictures or sounds with a text beside each."""

from ..data.batches import BatchPlan
from ..data.pairs import PairPlan, Pairs
from .array_task import ArrayTask


class PairTask(ArrayTask):
    """A task that learns from examples of another sense with a text beside each.

    A subclass has `max_length`, the tokens of a text at most.
    """

    def plan(self, columns, batch_size):
        """Pairs and what stands alone in their own order, texts from short to long."""
        if not isinstance(columns, dict):
            return super().plan(columns, batch_size)
        options = {"padding_id": self.backbone.padding_id, "max_length": self.max_length}
        return BatchPlan(columns, None, None, batch_size, **options)

    def plan_of(self, columns):
        """See `ArrayTask`; of pairs one with their texts."""
        if not isinstance(columns, Pairs):
            return super().plan_of(columns)
        return PairPlan, {"longest": self.max_length, "padding_id": self.backbone.padding_id}
