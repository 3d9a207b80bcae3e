package kzoo.core.audio

import kzoo.core.KzooException

/** A part of a long sound: the sample at which it begins, and its samples. */
class SoundWindow(val start: Int, val samples: FloatArray)

/**
 * Makes the samples that a model reads of any sound; the model itself makes features of them.
 *
 * `rate` is how many samples a second has, `size` how many the model reads at once. A sound that is too
 * short has `filling` behind it, but silence up to `least` samples.
 */
class AudioProcessor private constructor(
    val rate: Int,
    val size: Int,
    private val least: Int,
    private val filling: Float,
    private val hop: Long,
) {
    /** The beginning of a sound, of its own rate, or all of it and what fills it up. */
    fun read(sound: Sound): FloatArray = fitted(sound.at(rate, size).samples)

    /** Whether so many samples have one more frame of features than the model reads. */
    fun cuts(samples: Int): Boolean = samples >= size + hop

    /** What an answer says of a sound of so many samples: of how many seconds it is, and whether the sound has more. */
    fun reading(samples: Int): Map<String, Any?> =
        mapOf("seconds" to seconds(samples), "truncated" to cuts(samples))

    /** How many seconds of so many samples the model reads. */
    fun seconds(samples: Int): Double = minOf(samples, size).toDouble() / rate

    /** The beginning of samples that are of the model's rate, or all of them and what fills them up. */
    fun fitted(samples: FloatArray): FloatArray {
        val fitted = samples.copyOf(size)
        val filled = maxOf(samples.size, least)
        if (filled < size) fitted.fill(filling, filled, size)
        return fitted
    }

    /**
     * Overlapping windows over all samples, which are of the model's rate. The last one ends with them; one
     * that is shorter than `size` is all there is.
     *
     * `hop` is how many seconds lie from the beginning of one to that of the next, half a window by default.
     */
    fun windows(samples: FloatArray, hop: Double? = null): List<SoundWindow> {
        val step = if (hop == null) maxOf(1, size / 2) else step(hop)
        val windows = ArrayList<SoundWindow>()
        var begin = 0
        while (begin + size <= samples.size) {
            windows.add(SoundWindow(begin, samples.copyOfRange(begin, begin + size)))
            begin += step
        }
        if (begin == 0 || samples.size > begin - step + size) {
            val start = maxOf(0, samples.size - size)
            windows.add(SoundWindow(start, samples.copyOfRange(start, samples.size)))
        }
        return windows
    }

    private fun step(hop: Double): Int {
        val longest = size.toDouble() / rate
        if (!(hop >= 1.0 / rate && hop <= longest)) {
            throw KzooException("Got a hop of $hop seconds; expected at most the $longest of a window, so that nothing is left out.")
        }
        return Math.rint(hop * rate).toInt()
    }

    companion object {
        /** Samples from frame to frame, where a configuration names no other number. */
        private const val HOP = 160L

        /** By the class of features: up to which length a short sound has silence behind it, and what stands behind that. */
        private val KINDS = mapOf(
            "ASTFeatureExtractor" to Pair(400, 4f), // Zeros could be silence: a graph tells what is no sound by a 4.
            "MfccFeatureExtractor" to Pair(0, 0f),
        )

        /**
         * What the object of a `preprocessor_config.json` describes, which `source` names in an error; `shape` is
         * that of the model's input, (batch, samples).
         */
        fun read(config: Map<*, *>, shape: IntArray, source: String): AudioProcessor {
            val kind = config["feature_extractor_type"]
            val (least, filling) = KINDS[kind] ?: throw KzooException(
                "$source has features of the kind ${kind.toString().take(60)}; expected ${KINDS.keys.joinToString(" or ")}: " +
                    "take the program that reads it.",
            )
            val rate = (config["sampling_rate"] ?: 16000L) as? Long
            if (rate == null || rate !in 100L..768_000L || shape.size != 2 || shape[1] < maxOf(1, least)) {
                throw KzooException(
                    "$source has sampling_rate = ${config["sampling_rate"].toString().take(40)} for a model that reads " +
                        "${shape.joinToString(" x ")} samples, which nobody reads: export anew.",
                )
            }
            return AudioProcessor(rate.toInt(), shape[1], least, filling, config["hop_length"] as? Long ?: HOP)
        }
    }
}
