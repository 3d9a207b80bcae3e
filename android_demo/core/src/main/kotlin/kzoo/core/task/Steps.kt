package kzoo.core.task

import java.nio.Buffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.util.concurrent.CancellationException
import kzoo.core.KzooException
import kzoo.core.bundle.FunctionShapes
import kzoo.core.bundle.ModelFunction

/**
 * The function `decode` of a model that writes, which reads a token and gives the logits behind it, and the
 * function that reads what stands before: a token at place n of its text lies in slot n of a cache that stays
 * where `decode` reads it.
 *
 * `before` is that other function, `prefix` stands before the names of what is read of tokens that are written.
 */
internal abstract class Steps(
    functions: Map<String, ModelFunction>, stated: Map<String, FunctionShapes>, protected val name: String, before: String,
    private val prefix: String,
) {
    protected val decode: ModelFunction
    protected val before: ModelFunction
    protected val past: List<Past>

    /** How many tokens a text has at most. */
    val cache: Int

    /** How many tokens there are to choose from. */
    val vocabulary: Int

    /** How many tokens were read. */
    protected var used = 0
        private set

    init {
        for ((function, shapes) in stated) {
            val actual = functions[function]
            if (actual == null || differ(shapes.inputs, actual.inputs) || differ(shapes.outputs, actual.outputs)) {
                throw KzooException("The model of $name has not the function $function that its manifest says: export anew.")
            }
        }
        if (stated.keys != setOf(DECODE, before)) {
            throw KzooException(
                "The model of $name has the functions ${stated.keys.sorted().joinToString()}; expected $DECODE and $before, " +
                    "those of a model that writes: export anew.",
            )
        }
        decode = functions.getValue(DECODE)
        this.before = functions.getValue(before)
        past = (decode.outputs.keys - LOGITS).map { Past(it, checked(decode.inputs[it], 4)) }
        cache = checked(decode.inputs[PAST_PLACES], 2)[1]
        vocabulary = checked(decode.outputs[LOGITS], 2)[1]
    }

    /** The keys or values of a layer: (1, heads, places, size). */
    protected class Past(val name: String, shape: IntArray) {
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

    protected fun checked(shape: IntArray?, rank: Int): IntArray =
        shape?.takeIf { it.size == rank } ?: throw KzooException("The model of $name is none that writes: export anew.")

    /** Forgets what was read. */
    protected fun forget() {
        used = 0
        decode.ints(PAST_PLACES).fill(NOWHERE, 0, cache)
    }

    /** Reads a token behind those read before; the logits behind it. */
    fun step(token: Int, cancelled: () -> Boolean): FloatArray {
        check(intArrayOf(token))
        if (used == cache) throw KzooException("Got ${used + 1} tokens; $name has a cache of $cache: shorten the text.")
        decode.ints(prefix + TOKEN_IDS).put(0, token)
        decode.ints(prefix + PLACES).put(0, used)
        if (cancelled()) throw CancellationException()
        decode.run()
        take(decode, 1, 1)
        val logits = FloatArray(vocabulary)
        decode.output(LOGITS).asFloatBuffer().get(logits)
        if (logits.any { it.isNaN() }) throw KzooException("The model of $name gives $LOGITS that is no number: export anew.")
        return logits
    }

    /** KzooException for a token that the model hasn't. */
    protected fun check(ids: IntArray) {
        ids.find { it !in 0 until vocabulary }?.let {
            throw KzooException("The tokenizer of $name gave the token $it; the model has ids from 0 to ${vocabulary - 1}: export anew.")
        }
    }

    /** Puts the keys and values of new places, of which a function gave `length`, behind those known. */
    protected fun take(from: ModelFunction, length: Int, count: Int) {
        for (each in past) {
            each.copy(from.output(each.name).asFloatBuffer(), length, decode.floats(each.name), cache, used, count)
        }
        val places = decode.ints(PAST_PLACES)
        for (place in used until used + count) places.put(place, place)
        used += count
    }

    /** What was read, to go on from it again once something else was read. */
    class Held(val used: Int, val arrays: List<FloatBuffer>)

    fun held() = Held(
        used,
        past.map { each ->
            FloatBuffer.allocate(each.heads * used * each.size).also { each.copy(decode.floats(each.name), cache, it, used, 0, used) }
        },
    )

    /** Goes on from what was read once. */
    fun goOn(held: Held) {
        for ((each, array) in past.zip(held.arrays)) each.copy(array, held.used, decode.floats(each.name), cache, 0, held.used)
        used = held.used
        val places = decode.ints(PAST_PLACES)
        for (place in 0 until cache) places.put(place, if (place < used) place else NOWHERE)
    }

    protected fun ModelFunction.ints(name: String): IntBuffer = input(name).asIntBuffer()

    protected fun ModelFunction.floats(name: String): FloatBuffer = input(name).asFloatBuffer()

    protected fun IntBuffer.fill(value: Int, from: Int, to: Int) {
        for (place in from until to) put(place, value)
    }

    protected companion object {
        const val DECODE = "decode"
        const val LOGITS = "logits"
        const val PLACES = "places"
        const val PAST_PLACES = "past_places"

        /** The place of what is nowhere: padding, and slots that hold nothing. */
        const val NOWHERE = 1 shl 20
    }
}

/** The functions `prefill`, which reads all tokens of a prompt but the last, and `decode`. */
internal class PromptSteps(functions: Map<String, ModelFunction>, stated: Map<String, FunctionShapes>, name: String) :
    Steps(functions, stated, name, "prefill", "") {
    /** How many tokens of a prompt are read at once. */
    private val most = checked(before.inputs[PLACES], 2)[1].takeIf { it > 0 } ?: CHUNK

    /** Reads the tokens of a prompt; the logits behind the last of them. */
    fun begin(ids: IntArray, cancelled: () -> Boolean): FloatArray {
        decode.fit()
        forget()
        check(ids)
        if (ids.size > cache) throw KzooException("Got ${ids.size} tokens; $name has a cache of $cache: shorten the text.")
        for (start in 0 until ids.size - 1 step most) fill(ids.copyOfRange(start, minOf(start + most, ids.size - 1)), cancelled)
        return step(ids.last(), cancelled)
    }

    /** Reads tokens whose logits nobody asks for. */
    private fun fill(ids: IntArray, cancelled: () -> Boolean) {
        if (cancelled()) throw CancellationException()
        before.fit(ids.size)
        for (each in past) {
            if (used > 0) each.copy(decode.floats(each.name), cache, before.floats(each.name), cache, 0, used)
        }
        before.ints(PAST_PLACES).put(decode.ints(PAST_PLACES))
        val length = before.ints(PLACES).capacity() // A file of one length reads more than there is.
        val tokenIds = before.ints(TOKEN_IDS)
        val places = before.ints(PLACES)
        for (i in 0 until length) {
            tokenIds.put(i, if (i < ids.size) ids[i] else 0)
            places.put(i, if (i < ids.size) used + i else NOWHERE)
        }
        before.run()
        take(before, length, ids.size)
    }

    private companion object {
        const val CHUNK = 128
    }
}

/** The functions `encode`, which reads a source once, and `decode`, which has what was read of it beside its cache. */
internal class SourceSteps(functions: Map<String, ModelFunction>, stated: Map<String, FunctionShapes>, name: String) :
    Steps(functions, stated, name, "encode", "decoder_") {
    /** How many tokens of a source are read, padding included; null for any number. */
    val length: Int? = checked(before.inputs[IDS], 2)[1].takeIf { it > 0 }

    /** Reads a source, and the token that what is written of it begins behind; the logits behind that. */
    fun begin(source: IntArray, start: Int, cancelled: () -> Boolean): FloatArray {
        check(source)
        val size = length ?: source.size
        if (source.size !in 1..size) throw KzooException("Got ${source.size} tokens in the source; expected 1 to $size: shorten it.")
        if (cancelled()) throw CancellationException()
        before.fit(size)
        val ids = before.ints(IDS)
        val mask = before.ints(MASK)
        for (place in 0 until size) {
            ids.put(place, source.getOrElse(place) { 0 })
            mask.put(place, if (place < source.size) 1 else 0)
        }
        before.run()
        decode.fit(size)
        for (name in before.outputs.keys) decode.floats(name).put(before.output(name).asFloatBuffer())
        val seen = decode.ints(MEMORY)
        for (place in 0 until size) seen.put(place, if (place < source.size) 1 else 0)
        forget()
        return step(start, cancelled)
    }

    private companion object {
        const val IDS = "encoder_token_ids"
        const val MASK = "encoder_padding_mask"
        const val MEMORY = "memory_mask"
    }
}
