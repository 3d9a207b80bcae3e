package kzoo.core.task

import kotlin.math.sqrt
import kzoo.core.KzooException
import kzoo.core.bundle.Problem
import kzoo.core.bundle.Together
import kzoo.core.json.Json

/** Two towers with vectors of one space: pictures are found by words, and labelled by names that nobody trained. */
class Towers(val together: Together, val image: ImageEmbedder, val text: TextEmbedder) : Opened {
    override val tasks get() = listOf(image, text)

    /** A text as a vector; KzooException where the tower would cut it. */
    fun read(text: String, cancelled: () -> Boolean = { false }): Embedding {
        val found = this.text.embed(text, null, cancelled)
        if (found.reading.truncated) throw cut(text, found.reading.tokens)
        return found
    }

    /** The pictures that a text fits best, the nearest first, with the cosine of each. */
    fun search(query: String, pictures: Sequence<Seen>, top: Int = TOP, cancelled: () -> Boolean = { false }): List<Hit> {
        checkTop(top)
        val vector = read(query, cancelled).vector
        val seen = pictures.toList()
        return Index(seen.map { it.name }, seen.map { it.vector }, image.similarity).nearest(vector, top)
    }

    /**
     * Which of several labels each picture has, of which only the names are known: those of the bundle, or others,
     * which `templates` have in the place of {}. Others are read as they are, where none are given.
     */
    fun classify(
        pictures: Sequence<Seen>, labels: List<String>? = null, templates: List<String>? = null, cancelled: () -> Boolean = { false },
    ): Sequence<Pair<Seen, Classification>> {
        val names = labels ?: together.labels.orEmpty()
        if (names.isEmpty()) {
            throw KzooException(
                "Got no labels for ${together.name}, whose ${together.task} has none of its own; expected some: on the command line, " +
                    "--label for each.",
            )
        }
        if (names.toSet().size < names.size) throw KzooException("Got the labels ${names.joinToString().take(80)}; expected each once.")
        val texts = templates?.ifEmpty { null } ?: if (labels == null) together.templates else ALONE
        val vectors = names.map { name -> centred(texts.map { read(it.replace("{}", name), cancelled).vector }) }
        return pictures.map { it to fitting(it.vector, names, vectors, together.scale) }
    }

    override fun close() {
        tasks.forEach { it.close() }
        together.close()
    }

    companion object {
        /** How many pictures are found where nobody says so. */
        const val TOP = 5

        /** The template of labels that are texts themselves. */
        private val ALONE = listOf("{}")

        /** KzooException unless that is a number of things to find. */
        fun checkTop(top: Int) {
            if (top < 1) throw KzooException("Got top=$top; expected a whole number of at least 1.")
        }

        /** What is wrong with a text of which only the first tokens would be read. */
        fun cut(text: String, tokens: Int) = KzooException(
            "Got the text ${Json.write(text).take(60)}, which is longer than the $tokens tokens that are read; expected a shorter one.",
        )
    }
}

/** The mean over templates of the vectors of a label, each of length one, at length one (arXiv:2103.00020, section 3.1.4). */
fun centred(vectors: List<FloatArray>): DoubleArray {
    val mean = DoubleArray(vectors[0].size) { place -> vectors.sumOf { it[place].toDouble() } / vectors.size }
    val length = maxOf(sqrt(mean.sumOf { it * it }), 1e-12)
    return DoubleArray(mean.size) { mean[it] / length }
}

/** How likely each label is for a picture: the softmax of `scale` times the cosines of vectors of length one. */
fun fitting(picture: FloatArray, labels: List<String>, vectors: List<DoubleArray>, scale: Double): Classification {
    val scores = softmax(DoubleArray(labels.size) { label -> scale * picture.indices.sumOf { picture[it] * vectors[label][it] } })
    return Classification(Problem.SINGLE_LABEL, listOf(labels[likeliest(scores)]), labels.zip(scores.asList()))
}
