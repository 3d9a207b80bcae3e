package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine

/** The likeliest label, its probability, and those of all labels in the bundle's order. */
class Classification(val label: String, val score: Double, val scores: List<Pair<String, Double>>, val reading: Reading)

/** Labels a text, or a pair of texts. */
class TextClassifier(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    private val labels = needLabels()

    fun classify(text: String, pair: String? = null, cancelled: () -> Boolean = { false }): Classification {
        val read = rows.row(text, pair)
        val logits = output(run(read.rows[0], cancelled), "logits", 1, labels.size)
        val scores = probabilities(logits)
        val best = likeliest(scores)
        return Classification(labels[best], scores[best], labels.zip(scores.asList()), Reading(read))
    }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        val found = classify(text, pair)
        return json(text, pair, found.reading) +
            mapOf("label" to found.label, "score" to found.score, "scores" to found.scores.toMap())
    }
}
