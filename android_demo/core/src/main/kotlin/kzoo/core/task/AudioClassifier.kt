package kzoo.core.task

import kzoo.core.audio.AudioProcessor
import kzoo.core.audio.Sound
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Samples

/** What is heard in a part of a sound, from when to when in seconds. */
class Heard(val start: Double, val end: Double, val classification: Classification) {
    fun json(): Map<String, Any?> = mapOf("start" to start, "end" to end) + classification.json()
}

/** Labels a sound, or each part of a long one. */
class AudioClassifier(bundle: Bundle, engine: Engine) : ArrayTask(bundle, engine, "samples", "read") {
    private val labels = needLabels()

    /** What makes samples for the model: its rate, and how many it reads at once. */
    val processor = AudioProcessor.read(bundle.preprocessor, shape, source)

    /** Of a sound that is longer than the model reads, its beginning. */
    fun classify(sound: Sound, cancelled: () -> Boolean = { false }): Classification = classify(processor.read(sound), cancelled)

    /** Each part of a sound of any length; `hop` as `AudioProcessor.windows` has it. */
    fun windows(sound: Sound, hop: Double? = null, cancelled: () -> Boolean = { false }): List<Heard> =
        processor.windows(sound.at(processor.rate).samples, hop).map { window ->
            val end = window.start + window.samples.size
            Heard(
                window.start.toDouble() / processor.rate, end.toDouble() / processor.rate,
                classify(processor.fitted(window.samples), cancelled),
            )
        }

    private fun classify(samples: FloatArray, cancelled: () -> Boolean = { false }) =
        Classification.of(output(run(Samples(samples), cancelled), "logits", 1, labels.size), labels, options)

    override fun column(file: ByteArray, name: String): Column = Samples(processor.read(Sound.wav(file, name)))

    /** And of how many seconds that is, and whether the sound has more. */
    override fun json(file: ByteArray, name: String): Map<String, Any?> {
        val sound = Sound.wav(file, name)
        return mapOf("sound" to name) + processor.reading(sound.count(processor.rate)) + classify(sound).json()
    }

    override fun answer(column: Column) = classify((column as Samples).values).json()

    override fun blank(size: Int): Column = Samples(FloatArray(size))
}
