package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.json.JsonReader
import kzoo.core.unicode.Form
import kzoo.core.unicode.Unicode
import java.io.InputStream
import java.util.Base64

/** Builds a tokenizer from its file. What a file holds and nobody here knows is an error that names it. */
internal class TokenizerReader(stream: InputStream) {
    private val json = JsonReader(stream.reader(Charsets.UTF_8))

    fun read(): Tokenizer {
        val parts = HashMap<String, Any?>()
        var model: Model? = null
        json.enter('{')
        while (json.nextMember()) {
            val name = json.name()
            if (name == "model") model = ModelReader(json).read() else parts[name] = json.value()
        }
        json.end()
        if (model == null) throw KzooException("This is no tokenizer.json: it has no \"model\".")
        parts.keys.find { it !in PARTS }?.let { unsupported("part", it) }
        val version = parts["version"]
        if (version != null && version != "1.0") unsupported("version", version)
        val normalizer = part(parts["normalizer"], ::normalizer)
        return Tokenizer(
            normalizer,
            part(parts["pre_tokenizer"], ::preTokenizer),
            model,
            AddedTokens(list(parts["added_tokens"] ?: listOf<Any>()).map { addedToken(map(it)) }, model, normalizer),
            part(parts["post_processor"], ::postProcessor),
            part(parts["post_processor"], SharedVocabulary::of),
            part(parts["decoder"], ::decoder),
            part(parts["truncation"], ::truncation),
            part(parts["padding"], ::padding),
        )
    }

    private inline fun <T> part(value: Any?, build: (Fields) -> T): T? = if (value == null) null else build(map(value))

    fun normalizer(fields: Fields): Normalizer = when (val type = fields.type("normalizer")) {
        "Sequence" -> NormalizerSequence(fields.maps("normalizers").map(::normalizer))
        "BertNormalizer" -> fields.boolean("lowercase").let { lowers ->
            BertNormalizer(
                fields.boolean("clean_text"), fields.boolean("handle_chinese_chars"),
                fields.boolean("strip_accents", lowers), lowers,
            )
        }
        "NFC", "NFD", "NFKC", "NFKD" -> Form.valueOf(type).let { form -> Normalizer { normalized(it, form) } }
        "Lowercase" -> Normalizer(::lowercase)
        "StripAccents" -> Normalizer { text -> text.filter { !Unicode.isCombining(it) } }
        "Strip" -> Strip(fields.boolean("strip_left"), fields.boolean("strip_right"))
        "Replace" -> Replace(pattern(fields), codePoints(fields.string("content")))
        "Prepend" -> Prepend(codePoints(fields.string("prepend")))
        "Precompiled" -> CharacterMap(base64(fields.string("precompiled_charsmap")))
        "Nmt" -> Nmt
        "ByteLevel" -> ByteLevel
        else -> unsupported("normalizer", type)
    }

    fun preTokenizer(fields: Fields): PreTokenizer = when (val type = fields.type("pre_tokenizer")) {
        "Sequence" -> PreTokenizerSequence(fields.maps("pretokenizers").map(::preTokenizer))
        "BertPreTokenizer" -> BertPreTokenizer
        "ByteLevel" -> ByteLevel(fields.boolean("add_prefix_space"), fields.boolean("use_regex", true))
        "Metaspace" -> Metaspace(fields.point("replacement"), prependScheme(fields), fields.boolean("split", true))
        "WhitespaceSplit" -> WhitespaceSplit
        "Whitespace" -> Whitespace
        "Punctuation" -> Split(OnePoint(Unicode::isPunctuation), behavior(fields, "Isolated"))
        "Digits" -> Split(
            OnePoint(Unicode::isNumeric),
            if (fields.boolean("individual_digits")) Behavior.Isolated else Behavior.Contiguous,
        )
        "Split" -> Split(pattern(fields), behavior(fields, null), fields.boolean("invert"))
        else -> unsupported("pre_tokenizer", type)
    }

    private fun behavior(fields: Fields, default: String?): Behavior {
        val name = fields.string("behavior", default)
        return Behavior.values().find { it.name == name } ?: unsupported("splitting behaviour", name)
    }

    private fun prependScheme(fields: Fields): PrependScheme {
        val name = fields.string("prepend_scheme", "always")
        val scheme = when (name) {
            "first" -> PrependScheme.FIRST
            "never" -> PrependScheme.NEVER
            "always" -> PrependScheme.ALWAYS
            else -> unsupported("prepend_scheme", name)
        }
        if (fields.boolean("add_prefix_space", true)) return scheme
        if (scheme != PrependScheme.NEVER) {
            throw KzooException("A Metaspace of this tokenizer contradicts itself: add_prefix_space is false, prepend_scheme is \"$name\".")
        }
        return scheme
    }

    private fun pattern(fields: Fields): Pattern {
        val pattern = fields.map("pattern")
        return if (pattern.has("String")) Literal(pattern.string("String")) else Pattern.ofRegex(pattern.string("Regex"))
    }

    private fun addedToken(fields: Fields) = AddedToken(
        fields.string("content"), fields.boolean("special", false), fields.boolean("normalized"),
        fields.boolean("single_word", false), fields.boolean("lstrip", false), fields.boolean("rstrip", false),
    )

    private fun postProcessor(fields: Fields): PostProcessor = when (val type = fields.type("post_processor")) {
        "Sequence" -> sequence(fields.maps("processors").map(::postProcessor))
        "TemplateProcessing" -> Template(template(fields, "single"), template(fields, "pair"))
        "BertProcessing" -> framed(fields, 1, false)
        "RobertaProcessing" -> RobertaProcessing(framed(fields, 0, true), trimOffsets(fields) as? TrimOffsets)
        "ByteLevel" -> trimOffsets(fields)
        else -> unsupported("post_processor", type)
    }

    /** Only the last may add tokens: what others do to a framed text, no file asks for. */
    private fun sequence(steps: List<PostProcessor>): PostProcessor {
        if (steps.dropLast(1).any { it.addedTokens(true) > 0 || it is Template || it is RobertaProcessing }) {
            unsupported("post_processor", "Sequence with a step behind the one that adds special tokens")
        }
        return PostProcessorSequence(steps)
    }

    private fun trimOffsets(fields: Fields): PostProcessor =
        if (fields.boolean("trim_offsets", true)) TrimOffsets(fields.boolean("add_prefix_space", true)) else PostProcessorSequence(listOf())

    /** `cls A sep`, and `cls A sep B sep` with type [second] for B, or `cls A sep sep B sep`. */
    private fun framed(fields: Fields, second: Int, twice: Boolean): Template {
        fun special(name: String, type: Int): Template.Part {
            val pair = fields.list(name)
            val token = pair.getOrNull(0) as? String ?: fields.wrong(name)
            val id = (pair.getOrNull(1) as? Long)?.toInt() ?: fields.wrong(name)
            return Template.Special(intArrayOf(id), listOf(token), type)
        }
        val single = listOf(special("cls", 0), Template.Text(0, 0), special("sep", 0))
        val middle = if (twice) listOf(special("sep", second)) else listOf()
        return Template(single, single + middle + listOf(Template.Text(1, second), special("sep", second)))
    }

    private fun template(fields: Fields, name: String): List<Template.Part> = fields.maps(name).map { part ->
        if (part.has("Sequence")) {
            val text = part.map("Sequence")
            Template.Text(if (text.string("id") == "A") 0 else 1, text.int("type_id"))
        } else {
            val special = part.map("SpecialToken")
            val token = fields.map("special_tokens").map(special.string("id"))
            Template.Special(
                token.list("ids").map { (it as? Long)?.toInt() ?: token.wrong("ids") }.toIntArray(),
                token.list("tokens").map { it as? String ?: token.wrong("tokens") }, special.int("type_id"),
            )
        }
    }

    private fun decoder(fields: Fields): Decoder = when (val type = fields.type("decoder")) {
        "Sequence" -> DecoderSequence(fields.maps("decoders").map(::decoder))
        "WordPiece" -> WordPieceDecoder(fields.string("prefix"), fields.boolean("cleanup"))
        "ByteLevel" -> ByteLevelDecoder
        "Metaspace" -> MetaspaceDecoder(fields.string("replacement"), prependScheme(fields) != PrependScheme.NEVER)
        "BPEDecoder" -> BpeDecoder(fields.string("suffix"))
        "Fuse" -> Fuse
        "Replace" -> ReplaceDecoder(Replace(pattern(fields), codePoints(fields.string("content"))))
        "Strip" -> StripDecoder(fields.point("content"), fields.int("start"), fields.int("stop"))
        "ByteFallback" -> ByteFallback
        else -> unsupported("decoder", type)
    }

    private fun truncation(fields: Fields): Truncation {
        if (fields.int("stride", 0) != 0) unsupported("truncation", "stride of ${fields.int("stride")}")
        val strategy = fields.string("strategy", "LongestFirst")
        return Truncation(
            fields.int("max_length"),
            Strategy.values().find { it.name == strategy } ?: unsupported("truncation strategy", strategy),
            fields.string("direction", "Right") == "Left",
        )
    }

    private fun padding(fields: Fields) = Padding(
        if (fields.value("strategy") == "BatchLongest") null else fields.map("strategy").int("Fixed"),
        fields.int("pad_to_multiple_of", 0),
        fields.string("direction", "Right") == "Left",
        fields.int("pad_id"), fields.int("pad_type_id"), fields.string("pad_token"),
    )

    private fun base64(text: String): ByteArray = try {
        require(text.length % 4 == 0)
        Base64.getDecoder().decode(text)
    } catch (_: IllegalArgumentException) {
        throw KzooException("The tokenizer's precompiled_charsmap is damaged: it is no base64.")
    }

    private fun map(value: Any?): Fields = Fields(value as? Map<*, *> ?: wrongPart(value))

    private fun list(value: Any?): List<*> = value as? List<*> ?: wrongPart(value)

    private fun wrongPart(value: Any?): Nothing =
        throw KzooException("This is no tokenizer.json: ${shown(value)} stands where an object or a list was expected.")
}

/** A value in a message, cut to a length that fits a sentence. */
internal fun shown(value: Any?): String = value.toString().let { if (it.length > 60) it.take(57) + "..." else it }

// Of a tokenizer.json, beside its model; the library refuses others too.
private val PARTS = setOf(
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
)

internal fun unsupported(part: String, what: Any?): Nothing =
    throw KzooException("This tokenizer.json has a $part that isn't supported: ${shown(what)}.")

/** The members of an object of the file, each of the kind that is asked for. */
internal class Fields(private val members: Map<*, *>) {
    fun has(name: String) = members[name] != null

    fun value(name: String): Any? = members[name]

    fun type(part: String): String = members["type"] as? String ?: unsupported(part, members.keys.joinToString(prefix = "object without a type, with "))

    fun string(name: String, default: String? = null): String = of(name, default)

    fun boolean(name: String, default: Boolean? = null): Boolean = of(name, default)

    fun int(name: String, default: Int? = null): Int =
        of(name, default?.toLong()).let { if (it in Int.MIN_VALUE..Int.MAX_VALUE) it.toInt() else wrong(name) }

    fun point(name: String): Int = codePoints(string(name)).singleOrNull() ?: wrong(name)

    fun list(name: String): List<*> = of<List<*>>(name, null)

    fun map(name: String) = Fields(of<Map<*, *>>(name, null))

    fun maps(name: String): List<Fields> = list(name).map { Fields(it as? Map<*, *> ?: wrong(name)) }

    private inline fun <reified T : Any> of(name: String, default: T?): T = when (val value = members[name]) {
        null -> default ?: wrong(name)
        is T -> value
        else -> wrong(name)
    }

    fun wrong(name: String): Nothing = throw KzooException(
        "This tokenizer.json is damaged: ${members["type"] ?: "an object"} has ${shown(members[name])} as \"$name\"."
    )
}
