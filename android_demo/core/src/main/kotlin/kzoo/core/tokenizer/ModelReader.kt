package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.json.JsonReader

/** Reads the "model" of a tokenizer.json, whose entries never become objects. */
internal class ModelReader(private val json: JsonReader) {
    private val settings = HashMap<String, Any?>()
    private var vocabulary: Vocabulary? = null
    private var scores: DoubleArray? = null
    private var merges: Pieces? = null // Left and right in turn.

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
            System.arraycopy(json.chars, 0, piece, 0, length)
            val id = json.int()
            if (id < 0) json.fail("the id $id is negative")
            pieces.add(piece, length, id)
        }
        return pieces.build()
    }

    private fun readScores() {
        val pieces = Vocabulary.Builder(1 shl 15)
        val found = Scores(1 shl 15)
        json.enter('[')
        while (json.nextElement()) {
            json.enter('[')
            if (!json.nextElement()) json.fail("a piece and its score were expected")
            json.readString()
            pieces.add(json.chars, json.length, pieces.count)
            if (!json.nextElement()) json.fail("a piece's score was expected")
            json.readNumber()
            found.add(json.chars, json.length)
            if (json.nextElement()) json.fail("a piece and its score were expected, more came")
        }
        vocabulary = pieces.build()
        scores = found.toArray()
    }

    private fun readMerges(): Pieces {
        val found = Pieces(1 shl 16)
        json.enter('[')
        while (json.nextElement()) {
            if (json.peek() == '[') {
                json.enter('[')
                while (json.nextElement()) {
                    json.readString()
                    found.add(json.chars, 0, json.length)
                }
                if (found.count % 2 == 1) json.fail("a merge of two pieces was expected")
            } else {
                json.readString()
                if (json.chars[0] == '#' && json.name().startsWith("#version")) continue
                val space = indexOfSpace(0)
                if (space == json.length || indexOfSpace(space + 1) < json.length) {
                    json.fail("a merge of two pieces was expected, ${shown(json.name())} came")
                }
                found.add(json.chars, 0, space)
                found.add(json.chars, space + 1, json.length)
            }
        }
        return found
    }

    /** In what was read last; its length where there is none. */
    private fun indexOfSpace(from: Int): Int {
        var at = from
        while (at < json.length && json.chars[at] != ' ') at++
        return at
    }

    private fun bpe(vocabulary: Vocabulary, fields: Fields): Model {
        val pairs = merges ?: throw KzooException("This tokenizer.json has no merges: its BPE model lacks \"merges\".")
        val dropout = settings["dropout"]
        if (dropout != null && dropout != 0.0 && dropout != 0L) unsupported("model", "BPE with a dropout of $dropout")
        val prefix = fields.string("continuing_subword_prefix", "")
        val suffix = fields.string("end_of_word_suffix", "")
        val fallsBack = fields.boolean("byte_fallback", false)
        if (fallsBack && prefix + suffix != "") unsupported("model", "BPE with byte_fallback and a prefix or suffix")
        return Bpe(
            vocabulary, merges(vocabulary, pairs, prefix.length), fields.value("unk_token") as? String, prefix, suffix,
            fields.boolean("fuse_unk", false), fallsBack, fields.boolean("ignore_merges", false),
        )
    }

    /** [prefixLength]: what the right piece of a pair loses when it merges. */
    private fun merges(vocabulary: Vocabulary, pairs: Pieces, prefixLength: Int): Merges {
        val merges = Merges(pairs.count / 2)
        val chars = pairs.chars
        fun id(chars: CharArray, from: Int, to: Int) = vocabulary.id(chars, from, to).also {
            if (it < 0) {
                val piece = String(chars, from, to - from)
                throw KzooException("This tokenizer.json is damaged: its merges need ${shown(piece)}, which the vocabulary lacks.")
            }
        }
        for (left in 0 until pairs.count step 2) {
            val start = pairs.start(left)
            val middle = pairs.end(left)
            val end = pairs.end(left + 1)
            val merged = if (prefixLength == 0) id(chars, start, end) else {
                val piece = pairs.string(left) + pairs.string(left + 1).drop(prefixLength)
                id(piece.toCharArray(), 0, piece.length)
            }
            merges.add(id(chars, start, middle), id(chars, middle, end), merged)
        }
        return merges
    }

    private fun unigram(vocabulary: Vocabulary, fields: Fields): Model {
        val scores = scores ?: throw KzooException("This tokenizer.json is damaged: a Unigram model's \"vocab\" is a list of pieces with scores.")
        val unknown = fields.int("unk_id", -1)
        if (unknown >= scores.size) {
            throw KzooException("This tokenizer.json is damaged: unk_id is $unknown, and the vocabulary has ${scores.size} pieces.")
        }
        return Unigram(vocabulary, scores, unknown, fields.boolean("byte_fallback", false))
    }
}
