package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.MarkedReading
import kzoo.core.bundle.TextGolden

/** The vectors of one text's tokens, or of two, as far as they count; `reading` says how much was read. */
class TokenVectors(val texts: List<List<FloatArray>>, val reading: Reading) {
    /** Those of one text; of two how well the second answers the first. */
    fun json(text: String, pair: String?): Map<String, Any?> = reading.json(text, pair) +
        if (pair == null) mapOf("vectors" to texts.single().map { row -> row.map { it.toDouble() } })
        else mapOf("score" to maxSimilarity(texts[0], texts[1]))

    companion object {
        /** From the output `vectors` of each row. */
        fun of(rows: Rows, outputs: List<FloatArray>) =
            TokenVectors(rows.rows.zip(outputs) { row, values -> counted(values, values.size / row.tokenIds.size) }, Reading(rows))

        /** Vectors of so many numbers each, without those of places that don't count: these are zeros. */
        private fun counted(values: FloatArray, width: Int): List<FloatArray> =
            (0 until values.size / width).map { values.copyOfRange(it * width, (it + 1) * width) }.filter { row -> row.any { it != 0f } }
    }
}

/** Compares texts by the vectors of their tokens (ColBERT, arXiv:2004.12832); a text alone is a document. */
class LateInteraction(bundle: Bundle, engine: Engine) : RowTask(bundle, engine) {
    init {
        if (options.readings.size != 2) throw KzooException("${bundle.name} doesn't say how its texts are read: export anew.")
    }

    /** The vectors of a text to which documents are held. */
    fun query(text: String, cancelled: () -> Boolean = { false }): TokenVectors = read(rows.marked(text, options.readings[0]), cancelled)

    fun document(text: String, cancelled: () -> Boolean = { false }): TokenVectors = read(rows.marked(text, options.readings[1]), cancelled)

    private fun read(read: Rows, cancelled: () -> Boolean) =
        TokenVectors.of(read, read.rows.map { output(run(it, cancelled), "vectors", 1, it.tokenIds.size, -1) })

    override fun row(golden: TextGolden): Row = rows.marked(golden.text, reading(golden.reading, options.readings)).rows[0]

    override fun json(text: String, pair: String?) =
        read(rows.marked(listOfNotNull(text, pair), options.readings)) { false }.json(text, pair)

    companion object {
        /** The reading that a golden example names. */
        fun reading(name: String?, readings: List<MarkedReading>): MarkedReading = readings.find { it.name == name } ?: throw KzooException(
            "A golden example is read as $name; expected ${readings.joinToString(" or ") { it.name }}: export anew.",
        )
    }
}

/** How well a document answers a query: the sum over the query's vectors of the largest product with one of the document's. */
fun maxSimilarity(query: List<FloatArray>, document: List<FloatArray>): Double {
    if (query.isEmpty() || document.isEmpty()) throw KzooException("Got a text without a vector to compare; expected at least one for each text.")
    var sum = 0.0
    for (asked in query) {
        var best = Double.NEGATIVE_INFINITY
        for (found in document) {
            var product = 0.0
            for (place in asked.indices) product += asked[place].toDouble() * found[place]
            if (product > best) best = product
        }
        sum += best
    }
    return sum
}
