package kzoo.core.task

import java.nio.Buffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.util.concurrent.CancellationException
import kzoo.core.KzooException
import kzoo.core.bundle.FunctionShapes
import kzoo.core.bundle.ModelFunction

/**
 * The functions `prefill` and `decode` of a model that writes: tokens go in, and the logits behind the
 * last of them come out.
 *
 * The cache stays where `decode` reads it, and what is new is written there: a token at place n of its
 * text lies in slot n. `prefill` reads all tokens of a prompt but the last.
 */
internal class Steps(functions: Map<String, ModelFunction>, stated: Map<String, FunctionShapes>, private val name: String) {
    private val decode: ModelFunction
    private val prefill: ModelFunction
    private val past: List<Past>

    /** How many tokens a text has at most. */
    val cache: Int

    /** How many tokens there are to choose from. */
    val vocabulary: Int

    /** How many tokens were read. */
    private var used = 0

    /** How many tokens of a prompt are read at once. */
    private val most: Int

    init {
        for ((function, shapes) in stated) {
            val actual = functions[function]
            if (actual == null || differ(shapes.inputs, actual.inputs) || differ(shapes.outputs, actual.outputs)) {
                throw KzooException("The model of $name has not the function $function that its manifest says: export anew.")
            }
        }
        if (stated.keys != setOf(DECODE, PREFILL)) {
            throw KzooException(
                "The model of $name has the functions ${stated.keys.sorted().joinToString()}; expected $DECODE and $PREFILL, " +
                    "those of a model that writes: export anew.",
            )
        }
        decode = functions.getValue(DECODE)
        prefill = functions.getValue(PREFILL)
        past = (decode.outputs.keys - LOGITS).map { Past(it, checked(decode.inputs[it], 4)) }
        cache = checked(decode.inputs[PAST_PLACES], 2)[1]
        vocabulary = checked(decode.outputs[LOGITS], 2)[1]
        most = checked(prefill.inputs[PLACES], 2)[1].takeIf { it > 0 } ?: CHUNK
    }

    /** The keys or values of a layer: (1, heads, places, size). */
    private class Past(val name: String, shape: IntArray) {
        val heads = shape[1]
        val size = shape[3]

        /**
         * Copies so many places of each head, of which `from` and `to` have room for others.
         *
         * Between slices: TeaVM 0.15 copies from where `to` stands, wherever `from` does.
         */
        fun copy(from: FloatBuffer, places: Int, to: FloatBuffer, slots: Int, slot: Int, count: Int) {
            for (head in 0 until heads) {
                from.at(head * places * size, count * size)
                to.at((head * slots + slot) * size, count * size)
                to.slice().put(from.slice())
            }
        }

        /** Before Java 9, and on Android, these are methods of `Buffer`. */
        private fun Buffer.at(start: Int, count: Int) {
            clear()
            position(start)
            limit(start + count)
        }
    }

    /** Where a length is open, an engine may have settled on one. */
    private fun differ(stated: Map<String, IntArray>, actual: Map<String, IntArray>) =
        stated.keys != actual.keys || stated.any { (name, shape) -> !fits(shape, actual.getValue(name)) }

    private fun fits(stated: IntArray, actual: IntArray) =
        stated.size == actual.size && stated.indices.all { stated[it] == -1 || stated[it] == actual[it] }

    private fun checked(shape: IntArray?, rank: Int): IntArray =
        shape?.takeIf { it.size == rank } ?: throw KzooException("The model of $name is none that writes: export anew.")

    /** Forgets what was read. */
    fun start() {
        decode.fit()
        used = 0
        decode.ints(PAST_PLACES).fill(NOWHERE, 0, cache)
    }

    /** Reads tokens behind those read before; the logits behind the last of them. */
    fun read(ids: IntArray, cancelled: () -> Boolean): FloatArray {
        ids.find { it !in 0 until vocabulary }?.let {
            throw KzooException("The tokenizer of $name gave the token $it; the model has ids from 0 to ${vocabulary - 1}: export anew.")
        }
        if (used + ids.size > cache) {
            throw KzooException("Got ${used + ids.size} tokens; $name has a cache of $cache: shorten the text.")
        }
        for (start in 0 until ids.size - 1 step most) fill(ids.copyOfRange(start, minOf(start + most, ids.size - 1)), cancelled)
        decode.ints(TOKEN_IDS).put(0, ids.last())
        decode.ints(PLACES).put(0, used)
        if (cancelled()) throw CancellationException()
        decode.run()
        take(decode, 1, 1)
        val logits = FloatArray(vocabulary)
        decode.output(LOGITS).asFloatBuffer().get(logits)
        if (logits.any { it.isNaN() }) throw KzooException("The model of $name gives $LOGITS that is no number: export anew.")
        return logits
    }

    /** Reads tokens whose logits nobody asks for. */
    private fun fill(ids: IntArray, cancelled: () -> Boolean) {
        if (cancelled()) throw CancellationException()
        prefill.fit(ids.size)
        for (each in past) {
            if (used > 0) each.copy(decode.floats(each.name), cache, prefill.floats(each.name), cache, 0, used)
        }
        prefill.ints(PAST_PLACES).put(decode.ints(PAST_PLACES))
        val length = prefill.ints(PLACES).capacity() // A file of one length reads more than there is.
        val tokenIds = prefill.ints(TOKEN_IDS)
        val places = prefill.ints(PLACES)
        for (i in 0 until length) {
            tokenIds.put(i, if (i < ids.size) ids[i] else 0)
            places.put(i, if (i < ids.size) used + i else NOWHERE)
        }
        prefill.run()
        take(prefill, length, ids.size)
    }

    /** Puts the keys and values of new places, of which a function gave `length`, behind those known. */
    private fun take(from: ModelFunction, length: Int, count: Int) {
        for (each in past) {
            each.copy(from.output(each.name).asFloatBuffer(), length, decode.floats(each.name), cache, used, count)
        }
        val places = decode.ints(PAST_PLACES)
        for (place in used until used + count) places.put(place, place)
        used += count
    }

    private fun ModelFunction.ints(name: String): IntBuffer = input(name).asIntBuffer()

    private fun ModelFunction.floats(name: String): FloatBuffer = input(name).asFloatBuffer()

    private fun IntBuffer.fill(value: Int, from: Int, to: Int) {
        for (place in from until to) put(place, value)
    }

    private companion object {
        const val DECODE = "decode"
        const val PREFILL = "prefill"
        const val LOGITS = "logits"
        const val PLACES = "places"
        const val PAST_PLACES = "past_places"

        /** The place of what is nowhere: padding, and slots that hold nothing. */
        const val NOWHERE = 1 shl 20
        const val CHUNK = 128
    }
}
