package kzoo.core.bundle

import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kzoo.core.KzooException
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.assertThrows

/** A bundle of small files; what runs a model is not looked at with it. */
object TestBundle {
    private const val WORDS = """{"[unused0]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"a":4,"good":5,"film":6,"##s":7,"[PAD]":8}"""

    private val tokenizer = """{"version":"1.0","truncation":null,"padding":null,"added_tokens":[
        {"id":8,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
        {"id":2,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
        {"id":3,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
        "pre_tokenizer":{"type":"BertPreTokenizer"},
        "post_processor":{"type":"TemplateProcessing",
        "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
        "pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},
        {"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"[SEP]","type_id":1}}],
        "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},
        "decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":$WORDS}}"""

    private val files = mapOf(
        MODEL to ByteArray(70_000) { (it * 31 % 251).toByte() },
        TOKENIZER to tokenizer.toByteArray(),
        LABELS to "bad\ngood\n".toByteArray(),
        REPORT to "{}".toByteArray(),
        "report.html" to "<p>".toByteArray(),
    )

    /** Writes the files and a sealed manifest; `change` may alter the manifest before it is sealed. */
    fun write(folder: File, change: (MutableMap<String, Any?>) -> Unit = {}): File {
        folder.mkdirs()
        files.forEach { (name, bytes) -> File(folder, name).writeBytes(bytes) }
        val tensor = mapOf("shape" to listOf(1, -1), "type" to "int32")
        val manifest = linkedMapOf<String, Any?>(
            "format" to 2, "kzoo" to "0.1.0", "task" to "TextClassifier", "spec" to emptyMap<String, Any>(),
            "labels" to listOf("bad", "good"), "max_length" to 8,
            "signature" to mapOf(
                "serve" to mapOf(
                    "inputs" to mapOf("token_ids" to tensor, "padding_mask" to tensor),
                    "outputs" to mapOf("logits" to mapOf("shape" to listOf(1, 2), "type" to "float32")),
                ),
            ),
            "quantization" to "int8", "length" to null, "limits" to mapOf("megabytes" to 1.5),
            "minimum_runtime" to mapOf("tflite" to "2.18.0", "litert" to "1.0.1"),
            "files" to files.mapValues { mapOf("bytes" to it.value.size, "sha256" to sha256(it.value)) },
            "golden" to listOf(
                mapOf("text" to "A \"seal\": \"0\"", "token_ids" to listOf(2, 4, 3), "outputs" to mapOf("logits" to listOf(listOf(0.5, -1)))),
                mapOf("text" to listOf("a", "film"), "token_ids" to listOf(2, 4, 3, 6, 3), "outputs" to mapOf("logits" to listOf(listOf(1, 2)))),
            ),
            "tolerance" to 0.1, "task_options" to mapOf("reads" to "either", "problem" to "single_label"),
        )
        change(manifest)
        seal(folder, manifest)
        return folder
    }

    /** Writes `kzoo.json` as kzoo does: sealed over itself with zeros for the seal. */
    fun seal(folder: File, manifest: Map<String, Any?>) {
        val text = Json.write(manifest - "seal" + ("seal" to "0".repeat(64)))
        val seal = sha256(text.toByteArray())
        val place = text.lastIndexOf("0".repeat(64))
        File(folder, MANIFEST).writeText(text.replaceRange(place, place + 64, seal))
    }

    fun zip(target: File, members: Map<String, ByteArray>): File {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            for ((name, content) in members) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(content)
                zip.closeEntry()
            }
        }
        target.writeBytes(bytes.toByteArray())
        return target
    }

    fun members(folder: File, prefix: String) = folder.listFiles()!!.associate { prefix + it.name to it.readBytes() }
}

/** Runs what must fail with one clear sentence, which names what it should. */
fun assertSentence(vararg parts: String, run: () -> Unit) {
    val message = assertThrows<KzooException> { run() }.message!!
    assertTrue(message.endsWith(".") && '\n' !in message, message)
    assertFalse("Exception" in message || "kzoo.core" in message, message)
    for (part in parts) assertTrue(part in message, "\"$part\" is not in: $message")
}
