package kzoo.core.task

import kzoo.core.KzooException
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
        val names = names(labels, templates, cancelled)
        return pictures.map { it to names.of(it.vector) }
    }

    /** What was made last: whoever shows answers asks for the same labels again and again. */
    @Volatile
    private var last: Pair<NamesAsked, Names>? = null

    /** The labels that `classify` tells apart. */
    fun names(labels: List<String>? = null, templates: List<String>? = null, cancelled: () -> Boolean = { false }): Names = with(together) {
        val asked = NamesAsked.of(labels, templates, this.labels, this.templates, name, task)
        last?.let { (before, made) -> if (before.labels == asked.labels && before.texts == asked.texts) return made }
        Names(asked.labels, asked.texts.map { read(it, cancelled).vector }, scale).also { last = asked to it }
    }

    override fun close() {
        tasks.forEach { it.close() }
        together.close()
    }

    companion object {
        /** How many pictures are found where nobody says so. */
        const val TOP = 5

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
