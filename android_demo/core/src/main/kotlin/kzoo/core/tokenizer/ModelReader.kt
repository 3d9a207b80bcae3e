package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.json.JsonReader

/** Reads the "model" of a tokenizer.json, whose entries never become objects. */
internal class ModelReader(private val json: JsonReader) {
    private val settings = HashMap<String, Any?>()
    private var vocabulary: Vocabulary? = null
    private var scores: DoubleArray? = null
    private var merges: List<String>? = null // Left and right in turn.

    fun read(): Model {
        json.enter('{')
        while (json.nextMember()) {
            when (val name = json.name()) {
                "vocab" -> when (json.peek()) {
                    '{' -> vocabulary = readPieces()
                    '[' -> readScores()
                    else -> settings[name] = json.value()
                }
                "merges" -> merges = readMerges()
                else -> settings[name] = json.value()
            }
        }
        val fields = Fields(settings)
        val vocabulary = vocabulary ?: throw KzooException("This tokenizer.json has no vocabulary: its model lacks \"vocab\".")
        return when (val type = settings["type"] ?: guessType()) {
            "WordPiece" -> WordPiece(
                vocabulary, fields.string("unk_token"), fields.string("continuing_subword_prefix"),
                fields.int("max_input_chars_per_word"),
            )
            "BPE" -> bpe(vocabulary, fields)
            "Unigram" -> unigram(vocabulary, fields)
            else -> unsupported("model", type)
        }
    }

    /** Older files don't say what they are. */
    private fun guessType() = when {
        scores != null -> "Unigram"
        merges != null -> "BPE"
        "continuing_subword_prefix" in settings -> "WordPiece"
        else -> "WordLevel"
    }

    private fun readPieces(): Vocabulary {
        val pieces = Vocabulary.Builder(1 shl 15)
        var piece = CharArray(0)
        json.enter('{')
        while (json.nextMember()) {
            val length = json.length
            if (piece.size < length) piece = CharArray(length * 2)
            json.chars.copyInto(piece, 0, 0, length)
            val id = json.int()
            if (id < 0) json.fail("the id $id is negative")
            pieces.add(piece, length, id)
        }
        return pieces.build()
    }

    private fun readScores() {
        val pieces = Vocabulary.Builder(1 shl 15)
        var found = DoubleArray(1 shl 15)
        json.enter('[')
        while (json.nextElement()) {
            json.enter('[')
            if (!json.nextElement()) json.fail("a piece and its score were expected")
            json.readString()
            pieces.add(json.chars, json.length, pieces.count)
            if (!json.nextElement()) json.fail("a piece's score was expected")
            json.readNumber()
            if (pieces.count > found.size) found = found.copyOf(found.size * 2)
            found[pieces.count - 1] = score(json.chars, json.length)
            if (json.nextElement()) json.fail("a piece and its score were expected, more came")
        }
        vocabulary = pieces.build()
        scores = found.copyOf(pieces.count)
    }

    private fun readMerges(): List<String> {
        val found = ArrayList<String>(1 shl 16)
        json.enter('[')
        while (json.nextElement()) {
            if (json.peek() == '[') {
                json.enter('[')
                while (json.nextElement()) found += json.string()
                if (found.size % 2 == 1) json.fail("a merge of two pieces was expected")
            } else {
                val merge = json.string()
                if (merge.startsWith("#version")) continue
                val space = merge.indexOf(' ')
                if (space < 0 || merge.indexOf(' ', space + 1) >= 0) {
                    json.fail("a merge of two pieces was expected, ${shown(merge)} came")
                }
                found += merge.substring(0, space)
                found += merge.substring(space + 1)
            }
        }
        return found
    }

    private fun bpe(vocabulary: Vocabulary, fields: Fields): Model {
        val pairs = merges ?: throw KzooException("This tokenizer.json has no merges: its BPE model lacks \"merges\".")
        val dropout = settings["dropout"]
        if (dropout != null && dropout != 0.0 && dropout != 0L) unsupported("model", "BPE with a dropout of $dropout")
        val prefix = fields.string("continuing_subword_prefix", "")
        val suffix = fields.string("end_of_word_suffix", "")
        val fallsBack = fields.boolean("byte_fallback", false)
        if (fallsBack && prefix + suffix != "") unsupported("model", "BPE with byte_fallback and a prefix or suffix")
        fun id(piece: String) = vocabulary.id(piece).also {
            if (it < 0) throw KzooException("This tokenizer.json is damaged: its merges need ${shown(piece)}, which the vocabulary lacks.")
        }
        val merges = Merges(pairs.size / 2)
        for (i in pairs.indices step 2) {
            merges.add(id(pairs[i]), id(pairs[i + 1]), id(pairs[i] + pairs[i + 1].removeRange(0, minOf(prefix.length, pairs[i + 1].length))))
        }
        return Bpe(
            vocabulary, merges, fields.value("unk_token") as? String, prefix, suffix,
            fields.boolean("fuse_unk", false), fallsBack, fields.boolean("ignore_merges", false),
        )
    }

    private fun unigram(vocabulary: Vocabulary, fields: Fields): Model {
        val scores = scores ?: throw KzooException("This tokenizer.json is damaged: a Unigram model's \"vocab\" is a list of pieces with scores.")
        val unknown = fields.int("unk_id", -1)
        if (unknown >= scores.size) {
            throw KzooException("This tokenizer.json is damaged: unk_id is $unknown, and the vocabulary has ${scores.size} pieces.")
        }
        return Unigram(vocabulary, scores, unknown, fields.boolean("byte_fallback", false))
    }

    companion object {
        private val POWERS = DoubleArray(309) { "1e$it".toDouble() }

        /**
         * A number as the library's JSON reader makes it: digits as a whole number, divided by a power
         * of ten, which can be one bit off the nearest. Paths that tie would otherwise differ.
         */
        fun score(chars: CharArray, length: Int): Double {
            var at = 0
            val isNegative = chars[0] == '-'
            if (isNegative) at++
            var digits = 0L // Unsigned.
            var exponent = 0
            var isFraction = false
            var isFull = false
            while (at < length && chars[at] != 'e' && chars[at] != 'E') {
                val char = chars[at++]
                if (char == '.') {
                    isFraction = true
                    continue
                }
                val digit = char - '0'
                isFull = isFull || digits.toULong() > LAST || digits.toULong() == LAST && digit > 5
                if (isFull) {
                    if (!isFraction) exponent++
                } else {
                    digits = digits * 10 + digit
                    if (isFraction) exponent--
                }
            }
            if (at < length) exponent += String(chars, at + 1, length - at - 1).toIntOrNull() ?: 0
            var value = digits.toULong().toDouble()
            while (exponent < -308 && value != 0.0) {
                value /= POWERS[308]
                exponent += 308
            }
            value = if (exponent >= 0) value * POWERS[minOf(exponent, 308)] else value / POWERS[minOf(-exponent, 308)]
            return if (isNegative) -value else value
        }

        private val LAST = ULong.MAX_VALUE / 10u
    }
}
