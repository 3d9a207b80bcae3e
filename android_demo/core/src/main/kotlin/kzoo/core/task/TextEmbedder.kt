package kzoo.core.task

import kotlin.math.abs
import kotlin.math.sqrt
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Similarity

/** A text or a picture as a vector; `reading` says how much of a text was read. */
class Embedding(val vector: FloatArray, val reading: Reading = Reading.NONE) {
    fun json(text: String, pair: String?): Map<String, Any?> = reading.json(text, pair) + json()

    /** The answer alone. */
    fun json(): Map<String, Any?> = mapOf("embedding" to vector.map { it.toDouble() })
}

/** Makes vectors of texts, near each other for texts that mean the same. */
class TextEmbedder(bundle: Bundle, engine: Engine) : RowTask(bundle, engine) {
    /** How near its vectors are, as the model has learnt it. */
    val similarity: Similarity get() = options.similarity

    /** The bundle's default prompt stands before the text. */
    fun embed(text: String, pair: String? = null, cancelled: () -> Boolean = { false }): Embedding {
        check(pair)
        val read = rows.row(options.prompt + text, pair)
        val vector = output(run(read.rows[0], cancelled), "embedding", 1, -1)
        return Embedding(vector, Reading(read))
    }

    override fun json(text: String, pair: String?) = embed(text, pair).json(text, pair)
}

/** A text that was found, its place in the list, and how near it is to what was looked for. */
class Hit(val place: Int, val text: String, val similarity: Double)

/** A list of texts with their vectors. */
class Index(private val texts: List<String>, private val vectors: List<FloatArray>, private val by: Similarity = Similarity.COSINE) {
    init {
        require(texts.size == vectors.size)
    }

    /** The texts nearest to a vector, the nearest first, earlier ones before equals. */
    fun nearest(vector: FloatArray, count: Int = texts.size): List<Hit> =
        texts.indices.map { Hit(it, texts[it], similarity(vector, vectors[it], by)) }
            .sortedByDescending { it.similarity }.take(count)
}

/**
 * How near two vectors are, more for nearer ones: sentence-transformers' measures, of which a
 * distance counts below zero. The cosine is 0 where a vector has no length.
 */
fun similarity(one: FloatArray, other: FloatArray, by: Similarity): Double {
    require(one.size == other.size)
    fun sum(of: (Double, Double) -> Double): Double {
        var sum = 0.0
        for (place in one.indices) sum += of(one[place].toDouble(), other[place].toDouble())
        return sum
    }
    return when (by) {
        Similarity.COSINE -> {
            val lengths = sqrt(sum { a, _ -> a * a } * sum { _, b -> b * b })
            if (lengths == 0.0) 0.0 else sum { a, b -> a * b } / lengths
        }
        Similarity.DOT -> sum { a, b -> a * b }
        Similarity.EUCLIDEAN -> -sqrt(sum { a, b -> (a - b) * (a - b) })
        Similarity.MANHATTAN -> -sum { a, b -> abs(a - b) }
    }
}

/** A similarity as the length of a bar, 0 to 1. */
fun share(similarity: Double, by: Similarity): Double = when (by) {
    Similarity.COSINE, Similarity.DOT -> similarity.coerceIn(0.0, 1.0)
    Similarity.EUCLIDEAN, Similarity.MANHATTAN -> 1 / (1 - similarity)
}
