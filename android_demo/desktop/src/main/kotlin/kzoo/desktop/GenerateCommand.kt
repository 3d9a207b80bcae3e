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
    val (options, texts) = parsed(arguments)
    val path = texts.getOrNull(0)
    if (path == null || texts.size > 2) {
        throw KzooException("Got ${texts.size} arguments; expected a bundle and the text to write on from.")
    }
    val prompt = texts.getOrNull(1)?.takeIf { it != "-" }?.also(::checkReadable) ?: standardInput()
    openTask(existing(path)).use { task ->
        val writer = task as? TextWriter ?: throw KzooException(
            "Got $path, which holds a ${task.bundle.manifest.task}; expected a model that writes, such as a CausalLM.",
        )
        val out = PrintStream(FileOutputStream(FileDescriptor.out), false, "UTF-8")
        writer.write(prompt, options) { _, piece ->
            out.print(piece)
            out.flush()
        }
        out.print("\n")
        out.flush()
    }
    return 0
}

/** The number of tokens that was asked for, or null, and what is no option; after `--` nothing is one. */
private fun parsed(arguments: List<String>): Pair<Int?, List<String>> {
    var count: Int? = null
    val rest = ArrayList<String>()
    val each = arguments.iterator()
    while (each.hasNext()) {
        val argument = each.next()
        when {
            argument == "--" -> each.forEachRemaining { rest.add(it) }
            argument == "--max-new-tokens" -> {
                val value = if (each.hasNext()) each.next() else "nothing"
                count = value.toIntOrNull()?.takeIf { it >= 1 }
                    ?: throw KzooException("Got --max-new-tokens $value; expected a whole number of at least 1.")
            }
            argument.startsWith("--") ->
                throw KzooException("Got $argument; expected --max-new-tokens, or the text behind -- if that is one.")
            else -> rest.add(argument)
        }
    }
    return count to rest
}

/** Where Java read the arguments by a locale without some letter, those came as other ones. */
private fun checkReadable(prompt: String) {
    if (prompt.any { it.code > 127 } && !readsUnicode()) {
        throw KzooException(
            "Got a text with letters that the locale's encoding lacks, by which Java reads arguments: set LC_ALL=C.UTF-8, " +
                "say, or give the text on standard input.",
        )
    }
}

private fun standardInput(): String {
    val bytes = System.`in`.readBytes()
    val text = lines(bytes.inputStream()).joinToString("\n")
    if (text.isEmpty()) throw KzooException("No text came: one to write on from is expected on standard input.")
    return text
}
