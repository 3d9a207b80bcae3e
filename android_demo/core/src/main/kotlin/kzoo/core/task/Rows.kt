package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.MarkedReading
import kzoo.core.tokenizer.Tokenizer

/**
 * One row of a model's inputs.
 *
 * `starts` and `ends` say where each of the `tokens` stands, in UTF-16 units of the text that it
 * came from; -1 for special tokens. Padding, where a model takes one length only, has none. `words`
 * are the numbers of the pieces that the tokens were cut from, negative where nobody knows.
 */
class Row(
    val inputs: Map<String, IntArray>,
    val tokens: Int,
    val starts: IntArray,
    val ends: IntArray,
    val words: IntArray = IntArray(starts.size) { -1 },
) {
    val tokenIds: IntArray get() = inputs.getValue(TOKEN_IDS)
}

/** A part of a text's tokens: from which on, how many, and at which place of a row they stand. */
class Part(val first: Int, val count: Int, val place: Int)

/**
 * One text as overlapping rows: which `parts` of its tokens stand in which row, and `whole`, all of
 * its tokens with their places as if one row held them, without special tokens.
 */
class Windows(rows: List<Row>, tokens: Int, val parts: List<Part>, val whole: Row) : Rows(rows, tokens, false) {
    /**
     * What each token of the text got, `width` numbers each, of what the rows got: of the rows that
     * a token stands in, that in which it is farthest from the window's edge, the earlier of equals.
     */
    fun joined(outputs: List<FloatArray>, width: Int): FloatArray {
        val found = FloatArray(whole.tokens * width)
        val farthest = IntArray(whole.tokens) { -1 }
        for ((part, values) in parts.zip(outputs)) {
            for (place in 0 until part.count) {
                val token = part.first + place
                val distance = minOf(place, part.count - 1 - place)
                if (distance <= farthest[token]) continue
                farthest[token] = distance
                values.copyInto(found, token * width, (part.place + place) * width, (part.place + place + 1) * width)
            }
        }
        return found
    }
}

/**
 * The rows of a text: one, or overlapping windows. `truncated` says that a part is in none, `empty`
 * that no token stands for any character.
 */
open class Rows(val rows: List<Row>, val tokens: Int, val truncated: Boolean) {
    val empty: Boolean get() = rows.all { row -> row.starts.all { it < 0 } }
}

const val TOKEN_IDS = "token_ids"
const val PADDING_MASK = "padding_mask"
const val SEGMENT_IDS = "segment_ids"

/**
 * Texts as a model's inputs: special tokens, truncation, windows and padding, as kzoo does them
 * round any tokenizer.
 *
 * `maxLength` is how many tokens the model reads, `length` the one number that it takes, or null;
 * `stride` how many tokens two windows share; a quarter of the length and 128 at most by default,
 * fewer where a window has no room for them.
 *
 * KzooException for a text of which no token is left: there would be nothing to run the model on.
 */
class RowMaker(
    private val tokenizer: Tokenizer,
    private val maxLength: Int,
    private val length: Int?,
    private val stride: Int? = null,
) {
    private val limit = minOf(maxLength, length ?: maxLength)
    private val single by lazy { Frame.of(tokenizer, 1) }
    private val double by lazy { Frame.of(tokenizer, 2) }

    /** One row of a text, or of two; what is too long loses its end (or start), of two the longer one first. */
    fun row(text: String, pair: String? = null): Rows {
        val contents = listOfNotNull(text, pair).map(::split)
        val frame = frame(contents.size)
        val room = limit - frame.special
        val sizes = contents.map { it.size }
        val whole = sizes.sum() + frame.special
        val kept = if (whole > limit) fitting(sizes, room) else sizes
        val row = frame.fill(contents.zip(kept) { content, size -> shortened(content, size) })
        return Rows(listOf(padded(row)), row.tokens, whole > limit)
    }

    /** A row for each text, read in its own way; one alone is read in the last. */
    fun marked(texts: List<String>, readings: List<MarkedReading>): Rows {
        val rows = texts.zip(readings.takeLast(texts.size)) { text, reading -> marked(text, reading) }
        return Rows(rows.flatMap { it.rows }, rows.sumOf { it.tokens }, rows.any { it.truncated })
    }

    /** One row of a text behind the marker of a reading, filled up where that says so; what is too long loses its end. */
    fun marked(text: String, reading: MarkedReading): Rows {
        if (reading.fillId != null && length != null && reading.length > length) {
            throw KzooException("The model reads $length tokens, and its ${reading.name} has ${reading.length}: export with a longer length.")
        }
        val most = minOf(reading.length, length ?: reading.length)
        val room = most - single.special - 1
        if (room < 1) throw KzooException("The model reads $most tokens: too few for a text, its marker and its special tokens.")
        val content = split(text)
        val row = single.fill(listOf(content.cut(0, minOf(content.size, room)).behind(reading.markerId)))
        return Rows(listOf(padded(filled(row, reading))), row.tokens, content.size > room)
    }

    private fun filled(row: Row, reading: MarkedReading): Row {
        val fill = reading.fillId ?: return row
        fun more(name: String, value: Int) =
            row.inputs.getValue(name).let { own -> own.copyOf(reading.length).also { it.fill(value, own.size, reading.length) } }
        val inputs = mapOf(
            TOKEN_IDS to more(TOKEN_IDS, fill),
            PADDING_MASK to more(PADDING_MASK, if (reading.attendToFill) 1 else 0),
            SEGMENT_IDS to more(SEGMENT_IDS, single.segment),
        )
        return Row(inputs, reading.length, row.starts.copyOf(reading.length), row.ends.copyOf(reading.length))
    }

    /** A text to write on from: what stands before any text, and all of its tokens. */
    fun prompt(text: String): IntArray {
        val ids = single.front + split(text).ids
        if (ids.isEmpty()) throw noToken()
        return ids
    }

    /** A text to write of: what stands round any text, and all of its tokens. */
    fun source(text: String): IntArray {
        val content = split(text)
        if (content.size == 0) throw noToken()
        return single.fill(listOf(content)).tokenIds
    }

    /** A question before each window over a text; a question over half of the room is cut. */
    fun windows(question: String, text: String): Rows {
        val frame = frame(2)
        val asked = split(question)
        val front = shortened(asked, minOf(asked.size, (limit - frame.special) / 2)).withoutPlaces()
        val content = split(text).seen(text)
        val rows = ranges(content.size, limit - frame.special - front.size).map { (start, stop) ->
            padded(frame.fill(listOf(front, content.cut(start, stop))))
        }
        return Rows(rows, front.size + content.size + frame.special, front.size < asked.size)
    }

    /** Windows over one text: all of it is read. */
    fun windows(text: String): Windows {
        val frame = frame(1)
        val content = split(text)
        val ranges = ranges(content.size, limit - frame.special)
        val rows = ranges.map { (start, stop) -> padded(frame.fill(listOf(content.cut(start, stop)))) }
        val parts = ranges.map { (start, stop) -> Part(start, stop - start, frame.before) }
        return Windows(rows, content.size + frame.special, parts, content.alone())
    }

    /** From where to where windows of `room` tokens reach, which share the stride. */
    private fun ranges(size: Int, room: Int): List<Pair<Int, Int>> {
        val shared = stride ?: minOf(MOST_SHARED, limit / 4, room - 1)
        if (shared !in 0 until room) throw KzooException("The model reads $limit tokens: too few for windows over a text that share $shared.")
        val ranges = ArrayList<Pair<Int, Int>>()
        var start = 0
        while (true) {
            val stop = minOf(start + room, size)
            ranges.add(start to stop)
            if (stop == size) return ranges
            start += room - shared
        }
    }

    private fun frame(texts: Int): Frame {
        val frame = if (texts == 2) double else single
        if (limit < frame.special + texts) {
            throw KzooException("The model reads $limit tokens: too few for a text and its special tokens.")
        }
        return frame
    }

    private fun split(text: String): Content {
        val encoding = tokenizer.encode(text, addSpecialTokens = false, maxLength = Int.MAX_VALUE)
        return Content(encoding.ids, encoding.starts, encoding.ends, encoding.words)
    }

    /** The part of a content that stays: its start, or its end where the tokenizer says so. */
    private fun shortened(content: Content, size: Int): Content =
        if (tokenizer.truncatesFromLeft) content.cut(content.size - size, content.size) else content.cut(0, size)

    private fun padded(row: Row): Row {
        if (row.tokens == 0) {
            throw noToken()
        }
        if (length == null || length == row.tokens) return row
        val padding = this.padding
        val inputs = row.inputs.mapValues { (name, values) ->
            val full = values.copyOf(length)
            if (name == TOKEN_IDS) full.fill(padding, values.size, length)
            full
        }
        return Row(inputs, row.tokens, row.starts, row.ends, row.words)
    }

    private fun noToken() =
        KzooException("The text has no token that the model could read: give one with characters that its tokenizer keeps.")

    /** The mask hides what stands at padding, so a vocabulary without a token for it does no harm. */
    private val padding: Int by lazy { PADDING.firstNotNullOfOrNull(tokenizer::id) ?: 0 }

    private companion object {
        const val MOST_SHARED = 128
        val PADDING = listOf("[PAD]", "<pad>")

        fun fitting(sizes: List<Int>, room: Int): List<Int> {
            if (sizes.size == 1) return listOf(room)
            var short = sizes.min()
            if (short + maxOf(short, room - short) > room) short = room / 2
            val long = room - short
            return if (sizes[0] <= sizes[1]) listOf(short, long) else listOf(long, short)
        }
    }
}

/** The tokens of a text without special ones. */
private class Content(val ids: IntArray, val starts: IntArray, val ends: IntArray, val words: IntArray) {
    val size: Int get() = ids.size

    fun cut(from: Int, to: Int): Content =
        if (from == 0 && to == size) this
        else Content(ids.copyOfRange(from, to), starts.copyOfRange(from, to), ends.copyOfRange(from, to), words.copyOfRange(from, to))

    /** With a token before it that stands for no character. */
    fun behind(id: Int) = Content(intArrayOf(id) + ids, intArrayOf(-1) + starts, intArrayOf(-1) + ends, intArrayOf(-1) + words)

    fun withoutPlaces() = Content(ids, IntArray(size) { -1 }, IntArray(size) { -1 }, IntArray(size) { -1 })

    /** With places that have no blanks at their ends: an answer begins and ends where it is seen. */
    fun seen(text: String): Content {
        val places = starts.indices.map { trimmed(text, starts[it], ends[it]) }
        return Content(ids, IntArray(size) { places[it].first }, IntArray(size) { places[it].second }, words)
    }

    /** As a row without special tokens. */
    fun alone() = Row(mapOf(TOKEN_IDS to ids), size, starts, ends, words)
}

/** How special tokens stand round texts: ids and segments before, between and after them. */
private class Frame(private val ids: List<IntArray>, private val segments: List<IntArray>, private val own: IntArray) {
    val special: Int = ids.sumOf { it.size }

    /** Of the first text's own tokens. */
    val segment: Int get() = own[0]

    /** What stands before the first text. */
    val front: IntArray get() = ids[0]

    /** How many that are. */
    val before: Int = ids[0].size

    fun fill(contents: List<Content>): Row {
        val size = special + contents.sumOf { it.size }
        val tokenIds = IntArray(size)
        val segmentIds = IntArray(size)
        val starts = IntArray(size) { -1 }
        val ends = IntArray(size) { -1 }
        val words = IntArray(size) { -1 }
        var place = 0
        for (part in ids.indices) {
            ids[part].copyInto(tokenIds, place)
            segments[part].copyInto(segmentIds, place)
            place += ids[part].size
            val content = contents.getOrNull(part) ?: continue
            content.ids.copyInto(tokenIds, place)
            content.starts.copyInto(starts, place)
            content.ends.copyInto(ends, place)
            content.words.copyInto(words, place)
            segmentIds.fill(own[part], place, place + content.size)
            place += content.size
        }
        val inputs = mapOf(
            TOKEN_IDS to tokenIds,
            PADDING_MASK to IntArray(size) { 1 },
            SEGMENT_IDS to segmentIds,
        )
        return Row(inputs, size, starts, ends, words)
    }

    companion object {
        /** Read off what stands round one token of each text, so that any template will do. */
        fun of(tokenizer: Tokenizer, texts: Int): Frame {
            val encoding = tokenizer.frame(texts == 2)
            val ids = arrayListOf(ArrayList<Int>())
            val segments = arrayListOf(ArrayList<Int>())
            val own = ArrayList<Int>()
            var last = -1
            for (place in encoding.ids.indices) {
                val sequence = encoding.sequenceIds[place]
                if (encoding.specialTokensMask[place] == 1) {
                    ids.last().add(encoding.ids[place])
                    segments.last().add(encoding.typeIds[place])
                } else if (sequence != last) {
                    own.add(encoding.typeIds[place])
                    ids.add(ArrayList())
                    segments.add(ArrayList())
                    last = sequence
                }
            }
            if (own.size != texts) {
                throw KzooException(
                    "This tokenizer does not frame its texts in order: a template such as [CLS] A [SEP] B [SEP] is " +
                        "expected.",
                )
            }
            return Frame(ids.map { it.toIntArray() }, segments.map { it.toIntArray() }, own.toIntArray())
        }
    }
}
