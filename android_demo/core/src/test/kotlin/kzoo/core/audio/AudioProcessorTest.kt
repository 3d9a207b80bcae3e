package kzoo.core.audio

import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.sin
import kzoo.core.bundle.assertSentence
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class AudioProcessorTest {
    private fun processor(size: Int, kind: String = "Mfcc") =
        AudioProcessor.read(mapOf("feature_extractor_type" to "${kind}FeatureExtractor"), intArrayOf(1, size), "b/preprocessor_config.json")

    /** A WAV file of such samples as they lie there. */
    private fun wav(samples: ByteArray, kind: Int = 1, channels: Int = 1, rate: Int = 16000, bits: Int = 16, before: String = ""): ByteArray {
        val head = ByteBuffer.allocate(44 + before.length).order(ByteOrder.LITTLE_ENDIAN)
        head.put("RIFF".toByteArray()).putInt(36 + samples.size).put("WAVEfmt ".toByteArray()).putInt(16)
        head.putShort(kind.toShort()).putShort(channels.toShort()).putInt(rate).putInt(rate * channels * bits / 8)
        head.putShort((channels * bits / 8).toShort()).putShort(bits.toShort())
        head.put(before.toByteArray()).put("data".toByteArray()).putInt(samples.size)
        return ByteArrayOutputStream().apply { write(head.array()); write(samples) }.toByteArray()
    }

    private fun read(file: ByteArray) = Sound.wav(file, "a.wav").samples

    @Test
    fun `samples of every width are read, and channels averaged`() {
        assertArrayEquals(floatArrayOf(0.5f, -1f), read(wav(byteArrayOf(0, 64, 0, -128))))
        assertArrayEquals(floatArrayOf(-0.25f), read(wav(byteArrayOf(0, 64, 0, -128), channels = 2)))
        assertArrayEquals(floatArrayOf(-1f, 0f, 0.5f), read(wav(byteArrayOf(0, -128, -64), bits = 8)))
        assertArrayEquals(floatArrayOf(0.5f, -0.5f), read(wav(byteArrayOf(0, 0, 64, 0, 0, -64), bits = 24)))
        assertArrayEquals(floatArrayOf(0.5f), read(wav(byteArrayOf(0, 0, 0, 63), kind = 3, bits = 32)))
        assertArrayEquals(floatArrayOf(0.5f), read(wav(byteArrayOf(0, 64), before = "LIST\u0003\u0000\u0000\u0000abc\u0000")))
    }

    @Test
    fun `what is cut off is read as far as it goes, and what is no sound is one sentence`() {
        assertEquals(1, read(wav(byteArrayOf(0, 64, 0, 64)).copyOf(46)).size)
        assertSentence("a.wav is empty") { read(ByteArray(0)) }
        assertSentence("a.wav can't be read as sound (no WAV file)") { read("This is text.".toByteArray()) }
        assertSentence("it has no samples") { read(wav(byteArrayOf(0, 64)).copyOf(20)) }
        assertSentence("has no samples; expected at least one") { read(wav(ByteArray(0))) }
        assertSentence("of the kind 7 with 8 bits") { read(wav(byteArrayOf(1), kind = 7, bits = 8)) }
        assertSentence("90 samples a second") { read(wav(byteArrayOf(0, 64), rate = 90)) }
        assertSentence("65 channels") { read(wav(ByteArray(130), channels = 65)) }
        assertSentence("NaN at sample 0") { read(wav(byteArrayOf(0, 0, -64, 127), kind = 3, bits = 32)) }
    }

    @Test
    fun `a short sound is filled up as its features ask, a long one cut`() {
        assertArrayEquals(floatArrayOf(1f, 2f, 0f), processor(3).fitted(floatArrayOf(1f, 2f)))
        assertArrayEquals(floatArrayOf(1f, 2f, 3f), processor(3).fitted(floatArrayOf(1f, 2f, 3f, 4f)))
        val filled = processor(402, "AST").fitted(floatArrayOf(1f))
        assertEquals(listOf(1f, 0f, 0f, 4f, 4f), listOf(0, 1, 399, 400, 401).map { filled[it] })
    }

    @Test
    fun `windows overlap by half, and the last one ends with the sound`() {
        fun starts(samples: Int, hop: Double? = null) = processor(4).windows(FloatArray(samples), hop).map { it.start }
        assertEquals(listOf(0, 2, 4, 5), starts(9))
        assertEquals(listOf(0, 2, 4), starts(8))
        assertEquals(listOf(0), starts(3))
        assertEquals(3, processor(4).windows(FloatArray(3))[0].samples.size)
        assertEquals(listOf(0, 3, 5), starts(9, 3.0 / 16000))
        assertSentence("hop of 1.0 seconds") { starts(9, 1.0) }
    }

    @Test
    fun `a tone stays the same tone at another rate, and what the rate can't hold is gone`() {
        fun tone(hertz: Int, rate: Int) = FloatArray(rate / 4) { sin(2 * PI * hertz * it / rate).toFloat() }
        for (rate in listOf(44100, 8000, 48000, 11025)) {
            val made = Sound(tone(1000, rate), rate).at(16000).samples
            val expected = tone(1000, 16000)
            assertEquals(rate / 4 * 16000L / rate.toDouble(), made.size.toDouble(), 0.5)
            for (place in 1000 until 3000) assertTrue(abs(expected[place] - made[place]) < 1e-4, "$rate: $place")
        }
        val gone = Sound(tone(9000, 44100), 44100).at(16000).samples
        assertTrue((1000 until 3000).all { abs(gone[it]) < 1e-4 })
        assertEquals(1, Sound(floatArrayOf(1f), 768_000).at(8000).samples.size)
    }
}
