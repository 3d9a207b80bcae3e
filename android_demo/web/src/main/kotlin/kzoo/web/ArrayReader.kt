package kzoo.web

import kzoo.core.KzooException
import kzoo.core.audio.AudioProcessor
import kzoo.core.audio.Sound
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Column
import kzoo.core.bundle.Levels
import kzoo.core.bundle.Manifest
import kzoo.core.bundle.PREPROCESSOR
import kzoo.core.bundle.Samples
import kzoo.core.image.ImageProcessor
import kzoo.core.image.Picture
import kzoo.core.json.Json
import kzoo.core.task.Classification
import kzoo.core.task.Embedding
import org.teavm.jso.JSByRef
import org.teavm.jso.JSExport
import org.teavm.jso.JSObject
import org.teavm.jso.JSProperty

/**
 * A task of pictures or sounds without an engine: one becomes the array that a model reads, JavaScript
 * runs it, and what comes out becomes the answer. `input` is what the model calls the array.
 */
sealed class ArrayReader(private val manifest: Manifest, input: String) : Judge(manifest.options) {
    internal val shape: IntArray = manifest.functions.values.singleOrNull()?.inputs?.takeIf { it.keys == setOf(input) }?.get(input)
        ?: throw KzooException("The model reads ${inputs(manifest)}; this program gives it $input: export anew.")

    private val labels = manifest.labels

    init {
        if (labels == null && options.answers == Answers.LABELS) {
            throw KzooException("The bundle has no labels, and its task needs some: export anew.")
        }
    }

    private fun inputs(manifest: Manifest) = manifest.functions.values.flatMap { it.inputs.keys }.sorted().joinToString()

    internal fun answer(outputs: Outputs): Map<String, Any?> = when (options.answers) {
        Answers.LABELS -> Classification.of(outputs.of("logits", labels!!.size), labels, options).json()
        else -> Embedding(outputs.of("embedding", null)).json()
    }
}

/** Of pictures. */
class PictureReader internal constructor(manifest: Manifest, preprocessor: Map<*, *>) : ArrayReader(manifest, "images") {
    private val processor = ImageProcessor.read(preprocessor, shape, PREPROCESSOR)

    /**
     * What the model reads of an upright picture: `colours` are four bytes a pixel, red, green, blue and
     * how little is seen through it; `older` as Pillow before 13 resized, which exports may have done.
     */
    @JSExport
    fun read(name: String, width: Int, height: Int, @JSByRef colours: ByteArray, older: Boolean): AskedArray {
        Picture.check(width, height, name)
        fun level(place: Int) = colours[place].toInt() and 255
        val picture = Picture.onWhite(width, height, IntArray(width * height) {
            level(4 * it + 3) shl 24 or (level(4 * it) shl 16) or (level(4 * it + 1) shl 8) or level(4 * it + 2)
        })
        return AskedArray(this, mapOf("image" to name), Levels(processor.read(picture, older)))
    }
}

/** Of sounds. */
class SoundReader internal constructor(manifest: Manifest, preprocessor: Map<*, *>) : ArrayReader(manifest, "samples") {
    private val processor = AudioProcessor.read(preprocessor, shape, PREPROCESSOR)

    /** How many samples are a second for the model. */
    @get:JSExport
    @get:JSProperty
    val rate: Int get() = processor.rate

    /** What the model reads of a WAV file. */
    @JSExport
    fun read(name: String, @JSByRef file: ByteArray) = asked(name, Sound.wav(file, name))

    /** What it reads of samples from -1 to 1, so many of which are a second. */
    @JSExport
    fun hear(name: String, @JSByRef samples: FloatArray, rate: Int) = asked(name, Sound.of(samples, rate, name))

    private fun asked(name: String, sound: Sound) =
        AskedArray(this, mapOf("sound" to name) + processor.reading(sound.count(processor.rate)), Samples(processor.read(sound)))
}

/** A picture or a sound on its way: what the model reads of it, and what it gave. */
class AskedArray internal constructor(private val reader: ArrayReader, private val reading: Map<String, Any?>, private val column: Column) {
    private val outputs = Outputs()

    /** Levels of 0 to 255, as bytes; null of a sound. */
    @JSExport
    fun levels(): ByteArray? = (column as? Levels)?.values

    /** Numbers from -1 to 1; null of a picture. */
    @JSExport
    fun samples(): FloatArray? = (column as? Samples)?.values

    @JSExport
    fun give(name: String, @JSByRef values: FloatArray) = outputs.give(name, values)

    private val answer by lazy { reading + reader.answer(outputs) }

    /** The answer as `kzoo predict --json` has it, once the outputs are there. */
    @JSExport
    fun json(): String = Json.write(answer)

    /** The same as JavaScript's own values, see `answered`. */
    @JSExport
    fun answer(): JSObject? = answered(answer)
}
