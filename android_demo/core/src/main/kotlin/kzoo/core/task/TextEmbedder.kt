package kzoo.core.task

import kotlin.math.sqrt
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine

/** A text as a vector. */
class Embedding(val vector: FloatArray, val reading: Reading) {
    fun json(text: String, pair: String?): Map<String, Any?> =
        reading.json(text, pair) + mapOf("embedding" to vector.map { it.toDouble() })
}

/** Makes vectors of texts, near each other for texts that mean the same. */
class TextEmbedder(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    fun embed(text: String, pair: String? = null, cancelled: () -> Boolean = { false }): Embedding {
        val read = rows.row(text, pair)
        val vector = output(run(read.rows[0], cancelled), "embedding", 1, -1)
        return Embedding(vector, Reading(read))
    }

    override fun json(text: String, pair: String?) = embed(text, pair).json(text, pair)
}

/** A text that was found, its place in the list, and its cosine with what was looked for. */
class Hit(val place: Int, val text: String, val cosine: Double)

/** A list of texts with their vectors. */
class Index(private val texts: List<String>, private val vectors: List<FloatArray>) {
    init {
        require(texts.size == vectors.size)
    }

    /** The texts nearest to a vector, the nearest first, earlier ones before equals. */
    fun nearest(vector: FloatArray, count: Int = texts.size): List<Hit> =
        texts.indices.map { Hit(it, texts[it], cosine(vector, vectors[it])) }
            .sortedByDescending { it.cosine }.take(count)
}

/** The cosine of two vectors; 0 where one has no length. */
fun cosine(one: FloatArray, other: FloatArray): Double {
    require(one.size == other.size)
    var product = 0.0
    var lengths = 0.0
    var others = 0.0
    for (place in one.indices) {
        product += one[place].toDouble() * other[place]
        lengths += one[place].toDouble() * one[place]
        others += other[place].toDouble() * other[place]
    }
    return if (lengths == 0.0 || others == 0.0) 0.0 else product / sqrt(lengths * others)
}
