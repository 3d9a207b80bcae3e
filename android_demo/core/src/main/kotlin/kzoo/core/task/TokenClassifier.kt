package kzoo.core.task

import kzoo.core.KzooException
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
        /** `logits`: one for each label and token of the text's only row. */
        fun of(text: String, logits: FloatArray, labels: List<String>, read: Rows) =
            Entities(entities(text, logits, read.rows[0], labels), Reading(read))
    }
}

/** Finds the words of a text that are something: persons, places, parts of speech. */
class TokenClassifier(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    private val labels = needLabels()

    /** What entities can be called, in the order of the labels: those without "B-" and "I-". */
    val kinds: List<String> =
        labels.map { if (it.length > 2 && it[1] == '-') it.substring(2) else it }.distinct().filter { it != "O" }

    fun find(text: String, cancelled: () -> Boolean = { false }): Entities {
        val read = rows.row(text)
        val row = read.rows[0]
        val logits = output(run(row, cancelled), "logits", 1, row.tokenIds.size, labels.size)
        return Entities.of(text, logits, labels, read)
    }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        if (pair != null) throw KzooException("${bundle.name} finds entities in one text at a time; a pair came.")
        return find(text).json(text)
    }
}
