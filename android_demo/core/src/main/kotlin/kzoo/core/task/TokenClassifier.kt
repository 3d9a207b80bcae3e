package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine

/** The entities of a text, in its order. */
class Entities(val found: List<Entity>, val reading: Reading) {
    /** With places in code points. */
    fun json(text: String): Map<String, Any?> {
        val entities = found.map {
            val (start, end) = codePoints(text, it.start, it.end)
            linkedMapOf(
                "label" to it.label,
                "score" to it.score,
                "start" to start,
                "end" to end,
                "text" to text.substring(it.start, it.end),
            )
        }
        return reading.json(text, null) + mapOf("entities" to entities)
    }

    companion object {
        /** `logits`: for each window over the text one for each label and token of its row. */
        fun of(text: String, logits: List<FloatArray>, labels: List<String>, read: Windows) =
            Entities(entities(text, read.joined(logits, labels.size), read.whole, labels), Reading(read))
    }
}

/** Finds the words of a text that are something: persons, places, parts of speech. */
class TokenClassifier(bundle: Bundle, engine: Engine) : RowTask(bundle, engine) {
    private val labels = needLabels()

    /** What entities can be called, in the order of the labels. */
    val kinds: List<String> = kindsOf(labels)

    /** Reads a text of any length, in windows. */
    fun find(text: String, cancelled: () -> Boolean = { false }): Entities {
        val read = rows.windows(text)
        val logits = read.rows.map { row -> output(run(row, cancelled), "logits", 1, row.tokenIds.size, labels.size) }
        return Entities.of(text, logits, labels, read)
    }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        check(pair)
        return find(text).json(text)
    }
}
