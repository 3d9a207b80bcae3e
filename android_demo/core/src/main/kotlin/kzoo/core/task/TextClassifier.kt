package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Problem
import kzoo.core.bundle.TaskOptions

/**
 * What a classifier answers: `scores` by label in the bundle's order, and `labels`, the answer, the
 * likeliest first.
 *
 * Where a text has one label, the scores are probabilities that sum to one and `labels` holds one;
 * where it may have several, each has a probability of its own and `labels` are those that reach the
 * threshold, none perhaps; in regression the scores are the values themselves, and there are no
 * `labels`. `reading` says how much of a text was read.
 */
class Classification(
    val problem: Problem,
    val labels: List<String>,
    val scores: List<Pair<String, Double>>,
    val reading: Reading = Reading.NONE,
) {
    /** The one label of a text that has one. */
    val label: String get() = labels.single()

    /** The probability of that label. */
    val score: Double get() = scores.first { it.first == label }.second

    fun json(text: String, pair: String?): Map<String, Any?> = reading.json(text, pair) + json()

    /** The answer alone. */
    fun json(): Map<String, Any?> = when (problem) {
        Problem.SINGLE_LABEL -> mapOf("label" to label, "score" to score, "scores" to scores.toMap())
        Problem.MULTI_LABEL -> mapOf("labels" to labels, "scores" to scores.toMap())
        Problem.REGRESSION -> mapOf("values" to scores.toMap())
    }

    companion object {
        fun of(logits: FloatArray, labels: List<String>, options: TaskOptions, reading: Reading = Reading.NONE): Classification {
            val scores = scores(logits, options.problem)
            return Classification(options.problem, answered(scores, options).map { labels[it] }, labels.zip(scores.asList()), reading)
        }

        /** The scores that logits stand for. */
        internal fun scores(logits: FloatArray, problem: Problem): DoubleArray = when (problem) {
            Problem.SINGLE_LABEL -> probabilities(logits)
            Problem.MULTI_LABEL -> DoubleArray(logits.size) { probabilities(logits, it, it + 1)[0] }
            Problem.REGRESSION -> DoubleArray(logits.size) { logits[it].toDouble() }
        }

        /** The places of the labels that answer, the likeliest first, the earlier of equals. */
        internal fun answered(scores: DoubleArray, options: TaskOptions): List<Int> = when (options.problem) {
            Problem.SINGLE_LABEL -> listOf(likeliest(scores))
            Problem.MULTI_LABEL -> scores.indices.filter { scores[it] >= options.threshold }.sortedByDescending { scores[it] }
            Problem.REGRESSION -> emptyList()
        }
    }
}

/** Labels a text, or a pair of texts. */
class TextClassifier(bundle: Bundle, engine: Engine) : RowTask(bundle, engine) {
    private val labels = needLabels()

    fun classify(text: String, pair: String? = null, cancelled: () -> Boolean = { false }): Classification {
        check(pair)
        val read = rows.row(text, pair)
        return Classification.of(output(run(read.rows[0], cancelled), "logits", 1, labels.size), labels, options, Reading(read))
    }

    override fun json(text: String, pair: String?) = classify(text, pair).json(text, pair)
}
