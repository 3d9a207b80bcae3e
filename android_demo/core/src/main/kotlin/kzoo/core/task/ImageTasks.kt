package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Similarity
import kzoo.core.image.Picture
import kzoo.core.image.PictureDecoder

/** Labels a picture. */
class ImageClassifier(bundle: Bundle, engine: Engine, decoder: PictureDecoder) : ImageTask(bundle, engine, decoder) {
    private val labels = needLabels()

    /** The picture is upright, see `picture`. */
    fun classify(picture: Picture, cancelled: () -> Boolean = { false }): Classification = classify(levels(picture), cancelled)

    /** The same of what the model reads, see `levels`. */
    fun classify(column: Column, cancelled: () -> Boolean = { false }) =
        Classification.of(output(run(column, cancelled), "logits", 1, labels.size), labels, options)

    override fun answer(column: Column) = classify(column).json()
}

/** A picture by its vector; `name` is what an answer calls it. */
class Seen(val name: String, val vector: FloatArray)

/** Makes vectors of pictures, near each other for pictures that show the same. */
class ImageEmbedder(bundle: Bundle, engine: Engine, decoder: PictureDecoder) : ImageTask(bundle, engine, decoder) {
    /** How near its vectors are, as the model has learnt it. */
    val similarity: Similarity get() = options.similarity

    /** The picture is upright, see `picture`. */
    fun embed(picture: Picture, cancelled: () -> Boolean = { false }): Embedding = embed(levels(picture), cancelled)

    /** The picture of a file. */
    fun see(file: ByteArray, name: String, cancelled: () -> Boolean = { false }) = Seen(name, embed(picture(file, name), cancelled).vector)

    private fun embed(column: Column, cancelled: () -> Boolean = { false }) =
        Embedding(output(run(column, cancelled), "embedding", 1, -1))

    override fun answer(column: Column) = embed(column).json()
}
