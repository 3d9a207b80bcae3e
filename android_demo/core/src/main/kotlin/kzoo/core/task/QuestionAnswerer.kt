package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.tokenizer.codePointOffsets

/** The part of a text that answers a question; empty, with a score of 0, where none does. */
class Answer(val text: String, val start: Int, val end: Int, val score: Double, val reading: Reading) {
    /** With places in code points. */
    fun json(question: String, text: String): Map<String, Any?> {
        val (start, end) = codePoints(text, start, end)
        return reading.json(question, text) +
            mapOf("answer" to this.text, "score" to score, "start" to start, "end" to end)
    }

    companion object {
        /**
         * The likeliest of the spans that were found in the windows over a text.
         *
         * With `noAnswer` there is none where no answer scores higher than the best span by more
         * than that, in the window that says so least: SQuAD 2's rule (arXiv:1806.03822).
         */
        fun of(text: String, windows: List<Found>, noAnswer: Double?, read: Rows): Answer {
            val spans = windows.mapNotNull { it.span }
            val none = windows.minByOrNull { it.nothing.logit }!!.nothing
            val highest = spans.maxOfOrNull { it.logit } ?: Double.NEGATIVE_INFINITY
            val best = if (noAnswer != null && none.logit - highest > noAnswer) none
            else spans.filter { it.score > 0 }.maxByOrNull { it.score } ?: Span(0, 0, 0.0, 0.0)
            return Answer(text.substring(best.start, best.end), best.start, best.end, best.score, Reading(read))
        }
    }
}

/** What was found in one window: the likeliest span, if there is any, and what speaks for none. */
class Found(val span: Span?, val nothing: Span) {
    constructor(startLogits: FloatArray, endLogits: FloatArray, row: Row) :
        this(span(startLogits, endLogits, row), nothing(startLogits, endLogits, row))
}

/** Finds the part of a text of any length that answers a question. */
class QuestionAnswerer(bundle: Bundle, engine: Engine) : RowTask(bundle, engine) {
    /** `progress` is told how many of the windows over the text were read. */
    fun answer(
        question: String,
        text: String,
        cancelled: () -> Boolean = { false },
        progress: (Int, Int) -> Unit = { _, _ -> },
    ): Answer {
        val read = rows.windows(question, text)
        val found = read.rows.mapIndexed { place, row ->
            val outputs = run(row, cancelled)
            val length = row.tokenIds.size
            Found(output(outputs, "start_logits", 1, length), output(outputs, "end_logits", 1, length), row)
                .also { progress(place + 1, read.rows.size) }
        }
        return Answer.of(text, found, options.noAnswer, read)
    }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        check(pair)
        return answer(text, pair!!).json(text, pair)
    }
}

internal fun codePoints(text: String, start: Int, end: Int): Pair<Int, Int> {
    val places = codePointOffsets(text, intArrayOf(start, end))
    return places[0] to places[1]
}
