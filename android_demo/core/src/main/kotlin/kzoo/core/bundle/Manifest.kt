package kzoo.core.bundle

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction
import java.security.MessageDigest
import kzoo.core.KzooException
import kzoo.core.json.Json

const val MANIFEST = "kzoo.json"
const val MODEL = "model.tflite"
const val TOKENIZER = "tokenizer.json"
const val PREPROCESSOR = "preprocessor_config.json"
const val LABELS = "labels.txt"
const val REPORT = "report.json"

/** What special tokens are called, where `tokenizer.json` doesn't show it. */
const val SPECIAL_TOKENS = "special_tokens_map.json"

/** The newest format; those before it are read too. */
private const val FORMAT = 3L
/** Fields by the format that they came with. */
private val SINCE = mapOf("task_options" to 2, "reads" to 3, "rule" to 3, "signatures" to 3)
private val UNSEALED = "0".repeat(64)

/** Whether a text is the one that was sealed, with zeros for the seal, which is its last value. */
internal fun isSealed(text: String, seal: String): Boolean {
    val mark = "\"seal\": \"$seal\""
    val place = text.lastIndexOf(mark)
    val bare = if (place < 0) text else text.replaceRange(place, place + mark.length, "\"seal\": \"$UNSEALED\"")
    return sha256(bare.toByteArray(Charsets.UTF_8)) == seal
}

/** How a file was written: its size and its SHA-256. */
class FileEntry(val bytes: Long, val sha256: String)

/** An answer that was written down at the export: raw outputs by name. `title` is what it is called. */
sealed class Golden(val title: String, val outputs: Map<String, DoubleArray>)

/** Of a text, or of two, with the ids that these had; `reading` names the way in which it was read, where there are several. */
class TextGolden(
    val text: String, val pair: String?, val tokenIds: IntArray, outputs: Map<String, DoubleArray>, val reading: String? = null,
) : Golden(listOfNotNull(text, pair).joinToString(" | "), outputs)

/** Of a picture or a sound in a file of the bundle; `sha256` is that of what the model read of it. */
class FileGolden(val file: String, val sha256: String, outputs: Map<String, DoubleArray>) : Golden(file, outputs)

/** What a function reads and gives: shapes by name, (batch, length, ...); -1 where any number may stand. */
class FunctionShapes(val inputs: Map<String, IntArray>, val outputs: Map<String, IntArray>)

/** What `kzoo.json` says, after its format and its seal were checked. */
class Manifest private constructor(private val source: String, private val fields: Map<*, *>) {
    val task: String = string("task")
    val seal: String = fields["seal"].toString()
    val labels: List<String>? = fields["labels"]?.let { strings("labels", it) }
    val maxLength: Int = whole("max_length", fields["max_length"])
    /** The one length that the model takes, or null where it takes any. */
    val length: Int? = fields["length"]?.let { whole("length", it) }
    val quantization: String = string("quantization")
    /** What the file was made for, such as "gpu"; null where it was for nothing in particular. */
    val madeFor: String? = fields["for"]?.let { string("for") }
    /** How many operators of each name TensorFlow Lite's GPU delegate leaves to the processor, of a file for a GPU. */
    val leftToProcessor: Map<String, Int> = fields["delegates"]?.let { table("delegates", it)["older"] }
        ?.let { older -> table("delegates", older).mapValues { whole("delegates", it.value) } }.orEmpty()
    val kzoo: String = string("kzoo")
    val tolerance: Double = number("tolerance", fields["tolerance"])
    val limits: Map<String, Double> =
        table("limits", fields["limits"]).mapValues { number("limits", it.value) }
    val minimumRuntime: Map<String, String> = table("minimum_runtime", fields["minimum_runtime"])
        .filterValues { it != null }.mapValues { it.value.toString() }
    val files: Map<String, FileEntry> = table("files", fields["files"]).mapValues { (file, entry) ->
        val values = table("files", entry)
        if (file != file.substringAfterLast('/') || '\\' in file || file == "..") {
            throw wrong("files", file)
        }
        val bytes = number("files", values["bytes"])
        if (bytes !in 0.0..Int.MAX_VALUE.toDouble()) throw wrong("files", bytes)
        FileEntry(bytes.toLong(), values["sha256"].toString())
    }
    /** What the model can do, by name. */
    val functions: Map<String, FunctionShapes> = table("signature", fields["signature"]).mapValues { (_, value) ->
        val sides = table("signature", value)
        FunctionShapes(shapes(sides["inputs"]), shapes(sides["outputs"]))
    }
    val options: TaskOptions = TaskOptions.read(fields, source)
    val golden: List<Golden> = list("golden", fields["golden"]).map(::golden)

    init {
        if (functions.isEmpty()) throw wrong("signature", "no entry")
        if (labels != null && labels.isEmpty()) throw wrong("labels", "no label")
        labels?.groupBy { it }?.values?.find { it.size > 1 }?.let { same ->
            throw KzooException("$source has the label ${same[0].take(40)} ${same.size} times, and answers name a label alone: export anew.")
        }
    }

    private fun shapes(value: Any?): Map<String, IntArray> =
        table("signature", value).mapValues { (_, tensor) ->
            list("signature", table("signature", tensor)["shape"])
                .map { number("signature", it).toInt() }.toIntArray()
        }

    private fun golden(value: Any?): Golden {
        val entry = table("golden", value)
        val outputs = table("golden", entry["outputs"]).mapValues { flat(it.value) }
        val sense = options.reads.sense
        if (sense != Sense.TEXT) {
            val file = entry[sense.noun] as? String
            if (file !in files) throw wrong("golden", file)
            return FileGolden(file!!, entry["sha256"].toString(), outputs)
        }
        val texts = entry["text"].let { if (it is String) listOf(it) else strings("golden", it) }
        if (texts.size !in 1..2) throw wrong("golden", "${texts.size} texts")
        return TextGolden(
            texts[0],
            texts.getOrNull(1),
            list("golden", entry["token_ids"]).map { number("golden", it).toInt() }.toIntArray(),
            outputs,
            entry["reading"]?.toString(),
        )
    }

    private fun flat(value: Any?): DoubleArray {
        val numbers = ArrayList<Double>()
        fun walk(part: Any?) {
            if (part is List<*>) part.forEach(::walk) else numbers.add(number("golden", part))
        }
        walk(value)
        return numbers.toDoubleArray()
    }

    private fun wrong(field: String, came: Any?) = KzooException(
        "$source has $field of a kind that nobody reads (${came.toString().take(40)}): export anew.",
    )

    private fun string(field: String) = fields[field] as? String ?: throw wrong(field, fields[field])

    /** 1e999 is JSON, but no number to compare with. */
    private fun number(field: String, value: Any?): Double =
        (value as? Number)?.toDouble()?.takeIf { it.isFinite() } ?: throw wrong(field, value)

    private fun whole(field: String, value: Any?): Int {
        val found = number(field, value)
        if (found != Math.rint(found) || found !in 1.0..1e9) throw wrong(field, value)
        return found.toInt()
    }

    private fun list(field: String, value: Any?) = value as? List<*> ?: throw wrong(field, value)

    private fun strings(field: String, value: Any?) =
        list(field, value).map { it as? String ?: throw wrong(field, it) }

    private fun table(field: String, value: Any?): Map<String, Any?> =
        (value as? Map<*, *> ?: throw wrong(field, value)).mapKeys { it.key.toString() }

    companion object {
        /** What a `kzoo.json` says whose format and seal somebody else has checked. */
        fun of(fields: Map<*, *>, source: String) = Manifest(source, fields)

        /** Reads and checks the bytes of a `kzoo.json`; `source` names it in an error. */
        fun read(bytes: ByteArray, source: String): Manifest {
            val text = utf8(bytes, source)
            val fields = try {
                Json.parse(text.reader()) as? Map<*, *>
            } catch (error: KzooException) {
                throw KzooException(
                    "$source is no JSON (${error.message?.trimEnd('.')}): a bundle's manifest is expected.",
                )
            }
            val format = fields?.get("format") ?: throw KzooException(
                "$source names no format: a bundle that `kzoo export` wrote is expected.",
            )
            if (format !is Long || format !in 1..FORMAT) {
                throw KzooException(
                    "$source is of format ${format.toString().take(40)}; this program reads formats 1 to $FORMAT: export anew, or " +
                        "take the program that reads it.",
                )
            }
            for ((field, since) in SINCE) {
                if ((format >= since) != (field in fields)) {
                    throw KzooException("$source is of format $format, which ${if (format >= since) "has" else "has no"} $field: export anew.")
                }
            }
            if (!isSealed(text, fields["seal"].toString())) {
                throw KzooException(
                    "$source was changed after the export: its seal doesn't fit; export anew.",
                )
            }
            return Manifest(source, fields)
        }
    }
}

/** The hexadecimal SHA-256 of bytes. */
internal fun sha256(bytes: ByteArray): String =
    hexadecimal(MessageDigest.getInstance("SHA-256").digest(bytes))

internal fun hexadecimal(bytes: ByteArray): String {
    val digits = "0123456789abcdef"
    val text = StringBuilder(2 * bytes.size)
    for (byte in bytes) {
        text.append(digits[byte.toInt() shr 4 and 15]).append(digits[byte.toInt() and 15])
    }
    return text.toString()
}

/** Bytes as text; KzooException where they are no UTF-8. */
internal fun utf8(bytes: ByteArray, source: String): String = try {
    Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(bytes)).toString()
} catch (error: CharacterCodingException) {
    throw KzooException("$source is no UTF-8 text: a file that `kzoo export` wrote is expected.")
}
