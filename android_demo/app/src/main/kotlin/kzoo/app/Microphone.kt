package kzoo.app

import android.annotation.SuppressLint
import android.media.AudioFormat
import android.media.AudioRecord
import android.media.MediaRecorder
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.CancellationException
import kzoo.core.KzooException

/** What the device hears, as whole numbers of 16 bits of one channel. */
object Microphone {
    /** So many samples at this rate; `each` is told which share of them there is. For the worker's thread. */
    fun record(count: Int, rate: Int, cancelled: () -> Boolean, each: (Float) -> Unit): ShortArray {
        val least = AudioRecord.getMinBufferSize(rate, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT)
        if (least <= 0) throw silent()
        val recorder = open(rate, maxOf(least, rate))
        try {
            recorder.startRecording()
            val samples = ShortArray(count)
            var heard = 0
            while (heard < count) {
                if (cancelled()) throw CancellationException()
                val more = recorder.read(samples, heard, minOf(count - heard, rate / STEPS))
                if (more <= 0) throw silent() // Another app took the microphone.
                heard += more
                each(heard.toFloat() / count)
            }
            return samples
        } catch (error: IllegalStateException) {
            throw silent()
        } finally {
            recorder.release()
        }
    }

    @SuppressLint("MissingPermission") // Whoever records has asked for it.
    private fun open(rate: Int, bytes: Int): AudioRecord {
        val recorder = try {
            AudioRecord(MediaRecorder.AudioSource.VOICE_RECOGNITION, rate, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT, bytes)
        } catch (error: IllegalArgumentException) { // A rate that no microphone has.
            throw silent()
        }
        if (recorder.state == AudioRecord.STATE_INITIALIZED) return recorder
        recorder.release()
        throw silent()
    }

    private fun silent() = KzooException("The microphone can't be heard: end the app that uses it, and record again.")

    /** Parts of a second after which it is said how far it is. */
    private const val STEPS = 20
}

/** A WAV file of one channel. */
fun wav(samples: ShortArray, rate: Int): ByteArray {
    val bytes = ByteBuffer.allocate(44 + 2 * samples.size).order(ByteOrder.LITTLE_ENDIAN)
    fun text(words: String) = bytes.put(words.toByteArray(Charsets.US_ASCII))
    text("RIFF")
    bytes.putInt(36 + 2 * samples.size)
    text("WAVEfmt ")
    bytes.putInt(16).putShort(1).putShort(1).putInt(rate).putInt(2 * rate).putShort(2).putShort(16)
    text("data")
    bytes.putInt(2 * samples.size)
    for (sample in samples) bytes.putShort(sample)
    return bytes.array()
}
