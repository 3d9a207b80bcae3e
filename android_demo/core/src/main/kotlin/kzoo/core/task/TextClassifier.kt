package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine

/** The likeliest label, its probability, and those of all labels in the bundle's order. */
class Classification(val label: String, val score: Double, val scores: List<Pair<String, Double>>, val reading: Reading) {
    fun json(text: String, pair: String?): Map<String, Any?> =
        reading.json(text, pair) + mapOf("label" to label, "score" to score, "scores" to scores.toMap())

    companion object {
        fun of(logits: FloatArray, labels: List<String>, read: Rows): Classification {
            val scores = probabilities(logits)
            val best = likeliest(scores)
            return Classification(labels[best], scores[best], labels.zip(scores.asList()), Reading(read))
        }
    }
}

/** Labels a text, or a pair of texts. */
class TextClassifier(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    private val labels = needLabels()

    fun classify(text: String, pair: String? = null, cancelled: () -> Boolean = { false }): Classification {
        val read = rows.row(text, pair)
        return Classification.of(output(run(read.rows[0], cancelled), "logits", 1, labels.size), labels, read)
    }

    override fun json(text: String, pair: String?) = classify(text, pair).json(text, pair)
}
