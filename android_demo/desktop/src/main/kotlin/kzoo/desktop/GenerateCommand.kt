package kzoo.desktop

import java.io.PrintStream
import java.io.FileDescriptor
import java.io.FileOutputStream
import kzoo.core.KzooException
import kzoo.core.task.TextRewriter
import kzoo.core.task.TextWriter
import kzoo.core.task.Writing

/**
 * `generate BUNDLE [PROMPT] [--max-new-tokens N] [--num-beams N] [--target-language CODE]`: writes on from a
 * text, or of it, by default from what comes on standard input, and shows each character once it is whole.
 */
internal fun generate(arguments: List<String>): Int {
    val given = Arguments.of(arguments, emptySet(), setOf(MOST, BEAMS, LANGUAGE)) { wrong ->
        KzooException("Got $wrong; expected $MOST, $BEAMS or $LANGUAGE, or the text behind -- if that is one.")
    }
    val (texts, count) = given.plain to given.count(MOST)
    val path = texts.getOrNull(0)
    if (path == null || texts.size > 2) {
        throw KzooException("Got ${texts.size} arguments; expected a bundle and the text to write on from.")
    }
    val beams = given.count(BEAMS)
    val prompt = texts.getOrNull(1)?.takeIf { it != "-" }?.also { checkReadable(it, ", or give the text on standard input") } ?: standardInput()
    openTask(existing(path)).use { task ->
        val out = PrintStream(FileOutputStream(FileDescriptor.out), false, "UTF-8")
        val show = { _: Writing, piece: String ->
            out.print(piece)
            out.flush()
        }
        when (task) {
            is TextWriter -> {
                listOf(BEAMS, LANGUAGE).find(given::has)?.let {
                    throw KzooException("Got $it for a ${task.bundle.manifest.task}; expected a model that writes of a text, such as a Seq2SeqLM.")
                }
                task.write(prompt, count, each = show)
            }
            is TextRewriter -> task.write(prompt, given.last(LANGUAGE), beams, count, each = show)
            else -> throw KzooException(
                "Got $path, which holds a ${task.bundle.manifest.task}; expected a model that writes, such as a CausalLM or a Seq2SeqLM.",
            )
        }
        out.print("\n")
        out.flush()
    }
    return 0
}

private const val MOST = "--max-new-tokens"
private const val BEAMS = "--num-beams"
private const val LANGUAGE = "--target-language"

private fun standardInput(): String {
    val bytes = System.`in`.readBytes()
    val text = lines(bytes.inputStream()).joinToString("\n")
    if (text.isEmpty()) throw KzooException("No text came: one to write on from is expected on standard input.")
    return text
}
