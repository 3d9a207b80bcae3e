package kzoo.core.task

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.FileGolden
import kzoo.core.bundle.Levels
import kzoo.core.bundle.PREPROCESSOR
import kzoo.core.bundle.Samples
import kzoo.core.bundle.Tensor
import kzoo.core.bundle.sha256
import kzoo.core.image.ImageProcessor
import kzoo.core.image.Picture
import kzoo.core.image.PictureDecoder
import kzoo.core.image.orientation

/**
 * A task whose model has one function, of an array of its own size that stands for a picture or a sound.
 *
 * `input` is what the model calls it, `again` what is done to a file before it is run, for an error.
 */
sealed class ArrayTask(bundle: Bundle, engine: Engine, private val input: String, internal val again: String) : Task(bundle, engine) {
    private val sense = options.reads.sense

    /** Of what the model reads: (1, height, width, channels), or (1, samples). */
    protected val shape: IntArray = bundle.manifest.functions.values.singleOrNull()?.inputs?.get(input) ?: throw foreign()

    /** What `preprocessor_config.json` is called in an error. */
    protected val source = "${bundle.name}/$PREPROCESSOR"

    init {
        if (engine.inputs != setOf(input)) throw foreign()
    }

    private fun foreign() = KzooException(
        "The model of ${bundle.name} reads ${engine.inputs.sorted().joinToString()}; a model of ${sense.noun}s reads $input: export anew.",
    )

    /** What the model reads of a file's bytes; `name` is what an error calls the file. */
    internal abstract fun column(file: ByteArray, name: String): Column

    /** The answer to what the model reads, as an object for JSON. */
    protected abstract fun answer(column: Column): Map<String, Any?>

    /** What answers a file, as an object for JSON, which names it. */
    open fun json(file: ByteArray, name: String): Map<String, Any?> = mapOf(sense.noun to name) + answer(column(file, name))

    /** The model's outputs by name. */
    internal fun run(column: Column, cancelled: () -> Boolean = { false }): Map<String, Tensor> = run(mapOf(input to column), cancelled)

    /** What the model read of a golden example's file at the export, or null where nothing has its SHA-256. */
    internal fun column(golden: FileGolden): Column? =
        columns(bundle.bytes(golden.file), "${bundle.name}/${golden.file}").firstOrNull { it.digest() == golden.sha256 }

    /** What the model may have read of a file at the export, by the libraries that there were. */
    protected open fun columns(file: ByteArray, name: String): List<Column> = listOf(column(file, name))

    internal override val lengths: List<Int> get() = listOf(1)

    override fun runOn(tokens: Int, cancelled: () -> Boolean) {
        run(blank(shape.fold(1) { count, size -> count * size }), cancelled)
    }

    /** Nothing, in as many numbers. */
    protected abstract fun blank(size: Int): Column
}

/** The SHA-256 of numbers as they lie in memory, the lowest byte first. */
internal fun Column.digest(): String = when (this) {
    is Levels -> sha256(values)
    is Samples -> {
        val buffer = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        for (value in values) buffer.putFloat(value)
        sha256(buffer.array())
    }
    else -> throw IllegalArgumentException(type)
}

/** A task of pictures, which `decoder` makes of files. */
sealed class ImageTask(bundle: Bundle, engine: Engine, private val decoder: PictureDecoder) : ArrayTask(bundle, engine, "images", "resized") {
    private val processor = ImageProcessor.read(bundle.preprocessor, shape, source)

    /** The picture of a file, upright; `name` is what an error calls the file. */
    fun picture(file: ByteArray, name: String): Picture = decoder.decode(file, name).upright(orientation(file))

    /** What the model reads of an upright picture. */
    fun levels(picture: Picture) = Levels(processor.read(picture))

    /** The same to look at. */
    fun seen(levels: Levels): Picture {
        val (height, width, channels) = processor.shape
        fun level(place: Int, channel: Int) = levels.values[place * channels + channel % channels].toInt() and 255
        return Picture(width, height, IntArray(width * height) { level(it, 0) shl 16 or (level(it, 1) shl 8) or level(it, 2) })
    }

    override fun column(file: ByteArray, name: String): Column = levels(picture(file, name))

    override fun columns(file: ByteArray, name: String): List<Column> =
        picture(file, name).let { listOf(levels(it), Levels(processor.read(it, older = true))) }

    override fun blank(size: Int): Column = Levels(ByteArray(size))
}
