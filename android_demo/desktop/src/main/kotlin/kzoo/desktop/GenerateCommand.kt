package kzoo.desktop

import java.io.PrintStream
import java.io.FileDescriptor
import java.io.FileOutputStream
import kzoo.core.KzooException
import kzoo.core.task.TextWriter

/**
 * `generate BUNDLE [PROMPT] [--max-new-tokens N]`: writes on from a text, by default from what comes on
 * standard input, and shows each character once it is whole.
 */
internal fun generate(arguments: List<String>): Int {
    val given = Arguments.of(arguments, emptySet(), setOf("--max-new-tokens")) { wrong ->
        KzooException("Got $wrong; expected --max-new-tokens, or the text behind -- if that is one.")
    }
    val (texts, count) = given.plain to given.count("--max-new-tokens")
    val path = texts.getOrNull(0)
    if (path == null || texts.size > 2) {
        throw KzooException("Got ${texts.size} arguments; expected a bundle and the text to write on from.")
    }
    val prompt = texts.getOrNull(1)?.takeIf { it != "-" }?.also { checkReadable(it, ", or give the text on standard input") } ?: standardInput()
    openTask(existing(path)).use { task ->
        val writer = task as? TextWriter ?: throw KzooException(
            "Got $path, which holds a ${task.bundle.manifest.task}; expected a model that writes, such as a CausalLM.",
        )
        val out = PrintStream(FileOutputStream(FileDescriptor.out), false, "UTF-8")
        writer.write(prompt, count) { _, piece ->
            out.print(piece)
            out.flush()
        }
        out.print("\n")
        out.flush()
    }
    return 0
}

private fun standardInput(): String {
    val bytes = System.`in`.readBytes()
    val text = lines(bytes.inputStream()).joinToString("\n")
    if (text.isEmpty()) throw KzooException("No text came: one to write on from is expected on standard input.")
    return text
}
