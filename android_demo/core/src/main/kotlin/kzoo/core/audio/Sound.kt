package kzoo.core.audio

import kzoo.core.KzooException

/** A sound of one channel: samples from -1 to 1, and how many of them a second has. */
class Sound(val samples: FloatArray, val rate: Int) {
    /** The same at another rate, or the first `most` samples of it. */
    fun at(wanted: Int, most: Int = Int.MAX_VALUE): Sound =
        if (rate == wanted) this else Sound(resampled(samples, rate, wanted, minOf(most, count(wanted))), wanted)

    /** How many samples it has at a rate: at least one. */
    fun count(wanted: Int): Int = if (rate == wanted) samples.size else maxOf(1, (samples.size.toDouble() * wanted / rate + 0.5).toInt())

    companion object {
        private val RATES = 100..768_000
        private val CHANNELS = 1..64
        private const val MOST_SECONDS = 4 * 3600

        /**
         * The sound of a WAV file: whole numbers of 8, 16, 24 or 32 bits, or floating-point ones. Channels are
         * averaged. Of a file that was cut off, what is there is read; `name` is what an error calls it.
         */
        fun wav(file: ByteArray, name: String): Sound {
            if (file.isEmpty()) throw KzooException("$name is empty; expected a file of sound.")
            return Wav(file, name).read()
        }

        /** Samples as they are, of this rate; KzooException where they are none. */
        fun of(samples: FloatArray, rate: Int, name: String): Sound {
            if (rate !in RATES) throw KzooException("$name has $rate samples a second; expected ${RATES.first} to ${RATES.last}.")
            if (samples.isEmpty()) throw KzooException("$name has no samples; expected at least one: leave it out.")
            if (samples.size.toLong() > MOST_SECONDS.toLong() * rate) {
                throw KzooException("$name lasts ${samples.size / rate / 3600} hours; expected at most ${MOST_SECONDS / 3600}: cut it.")
            }
            val odd = samples.indexOfFirst { it.isNaN() || it.isInfinite() }
            if (odd >= 0) {
                throw KzooException("$name holds ${samples[odd]} at sample $odd; expected numbers, 1 and -1 for the loudest: find out what made it so.")
            }
            return Sound(samples, rate)
        }

        internal fun checkChannels(channels: Int, name: String) {
            if (channels !in CHANNELS) throw KzooException("$name has $channels channels; expected 1 to ${CHANNELS.last}.")
        }
    }
}

/** The chunks of a WAV file. */
private class Wav(private val file: ByteArray, private val name: String) {
    private var kind = 0
    private var channels = 0
    private var rate = 0
    private var bits = 0

    fun read(): Sound {
        if (!has(0, "RIFF") || !has(8, "WAVE")) throw unreadable("no WAV file")
        var place = 12
        while (place + 8 <= file.size) {
            val size = number(place + 4, 4).toLong() and 0xFFFFFFFFL
            val start = place + 8
            val end = minOf(file.size.toLong(), start + size).toInt()
            if (has(place, "fmt ") && end - start >= 16) format(start, end)
            if (has(place, "data")) return Sound.of(samples(start, end), rate, name)
            place = minOf(file.size.toLong(), start + size + (size and 1)).toInt()
        }
        throw unreadable("it has no samples")
    }

    private fun format(start: Int, end: Int) {
        kind = number(start, 2)
        channels = number(start + 2, 2)
        rate = number(start + 4, 4)
        bits = number(start + 14, 2)
        if (kind == EXTENSIBLE && end - start >= 26) kind = number(start + 24, 2)
    }

    private fun samples(start: Int, end: Int): FloatArray {
        if (channels == 0) throw unreadable("it doesn't say of what kind its samples are")
        Sound.checkChannels(channels, name)
        val width = bits / 8
        val one: (Int) -> Float = when {
            kind == WHOLE && bits == 8 -> { { ((file[it].toInt() and 255) - 128) / 128f } }
            kind == WHOLE && bits in setOf(16, 24, 32) -> { { signed(it, width) / (1L shl bits - 1).toFloat() } }
            kind == FLOATING && bits == 32 -> { { Float.fromBits(number(it, 4)) } }
            kind == FLOATING && bits == 64 -> {
                { Double.fromBits(number(it + 4, 4).toLong() shl 32 or (number(it, 4).toLong() and 0xFFFFFFFFL)).toFloat() }
            }
            else -> throw unreadable("its samples are of the kind $kind with $bits bits")
        }
        return FloatArray((end - start) / (width * channels)) { frame ->
            var sum = 0f
            for (channel in 0 until channels) sum += one(start + (frame * channels + channel) * width)
            sum / channels
        }
    }

    /** A whole number whose last byte says whether it is below zero. */
    private fun signed(place: Int, bytes: Int): Float = (number(place, bytes) shl 32 - 8 * bytes shr 32 - 8 * bytes).toFloat()

    private fun number(place: Int, bytes: Int): Int {
        var number = 0
        for (step in 0 until bytes) number = number or (file[place + step].toInt() and 255 shl 8 * step)
        return number
    }

    private fun has(place: Int, text: String) =
        place + text.length <= file.size && text.indices.all { file[place + it].toInt() == text[it].code }

    private fun unreadable(reason: String) =
        KzooException("$name can't be read as sound ($reason); expected a whole WAV file of 8 to 32 bits.")

    private companion object {
        const val WHOLE = 1
        const val FLOATING = 3
        const val EXTENSIBLE = 0xFFFE
    }
}
