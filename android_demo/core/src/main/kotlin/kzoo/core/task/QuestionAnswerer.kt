package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.tokenizer.codePointOffsets

/** The part of a text that answers a question; empty, with a score of 0, where none does. */
class Answer(val text: String, val start: Int, val end: Int, val score: Double, val reading: Reading)

/** Finds the part of a text of any length that answers a question. */
class QuestionAnswerer(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    /** `progress` is told how many of the windows over the text were read. */
    fun answer(
        question: String,
        text: String,
        cancelled: () -> Boolean = { false },
        progress: (Int, Int) -> Unit = { _, _ -> },
    ): Answer {
        val read = rows.windows(question, text)
        var best = Span(0, 0, 0.0)
        read.rows.forEachIndexed { place, row ->
            val outputs = run(row, cancelled)
            val length = row.tokenIds.size
            val found = span(output(outputs, "start_logits", 1, length), output(outputs, "end_logits", 1, length), row)
            if (found != null && found.score > best.score) best = found
            progress(place + 1, read.rows.size)
        }
        return Answer(
            text.substring(best.start, best.end), best.start, best.end, best.score,
            Reading(read),
        )
    }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        if (pair == null) throw KzooException("${bundle.name} answers questions: a question and a text are expected.")
        val found = answer(text, pair)
        val (start, end) = codePoints(pair, found.start, found.end)
        return json(text, pair, found.reading) +
            mapOf("answer" to found.text, "score" to found.score, "start" to start, "end" to end)
    }
}

internal fun codePoints(text: String, start: Int, end: Int): Pair<Int, Int> {
    val places = codePointOffsets(text, intArrayOf(start, end))
    return places[0] to places[1]
}
