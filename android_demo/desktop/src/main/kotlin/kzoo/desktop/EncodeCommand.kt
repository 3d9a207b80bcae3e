package kzoo.desktop

import kzoo.core.KzooException
import kzoo.core.json.Json
import kzoo.core.tokenizer.Encoding
import kzoo.core.tokenizer.Tokenizer
import kzoo.core.tokenizer.codePointOffsets
import java.io.File
import java.io.FileDescriptor
import java.io.FileOutputStream
import java.io.IOException
import java.io.PrintStream
import java.lang.management.ManagementFactory

/**
 * Prints ids, tokens and offsets (in code points) of each line of standard input, an object a line.
 *
 * --json: each line is a JSON string, which can hold any text. --pairs: each line is two texts. --plain: no special tokens. --time: each line names a file of lines, which is encoded as a
 * whole; the seconds that took are printed, by the clock and of all cores, after those of reading
 * the tokenizer.
 */
internal fun encode(arguments: List<String>): Int {
    val flags = arguments.filter { it.startsWith("--") }.toSet()
    val path = arguments.singleOrNull { !it.startsWith("--") }
    val unknown = flags - setOf("--json", "--pairs", "--plain", "--time")
    if (path == null || unknown.isNotEmpty()) {
        val given = arguments.joinToString(" ").ifEmpty { "nothing" }
        throw KzooException("encode takes one tokenizer.json, and --json, --pairs, --plain or --time; it got $given.")
    }
    val watch = Watch()
    val tokenizer = try {
        existing(path).inputStream().use { Tokenizer.read(it) }
    } catch (error: IOException) {
        throw KzooException("$path can't be read (${error.message}): name a tokenizer.json.")
    }
    val out = PrintStream(FileOutputStream(FileDescriptor.out).buffered(1 shl 16), false, "UTF-8")
    if ("--time" in flags) {
        tokenizer.encode("Ready")
        out.println(watch)
        out.flush()
    }
    val line = StringBuilder()
    out.use { // Which keeps the answers before a bad line.
        for ((place, input) in lines(System.`in`).withIndex()) {
            line.setLength(0)
            if ("--time" in flags) {
                line.append(time(tokenizer, linesOf(input)))
            } else {
                val (text, pair) = read(input, flags, "Line ${place + 1} of $STANDARD_INPUT")
                write(line, tokenizer.encode(text, pair, addSpecialTokens = "--plain" !in flags), text, pair)
            }
            out.append(line).append('\n')
            if ("--time" in flags) out.flush()
        }
    }
    return 0
}

private fun linesOf(path: String): List<String> = try {
    existing(path).inputStream().use { lines(it, path).toList() }
} catch (error: IOException) {
    throw KzooException("$path can't be read (${error.message}): name a file of lines.")
}

private fun time(tokenizer: Tokenizer, lines: List<String>): String {
    val watch = Watch()
    for (line in lines) tokenizer.encode(line)
    return watch.toString()
}

/** Seconds since it was made: of the clock, and of this process on all cores. */
private class Watch {
    private val process = processTime() // First: asking takes its time when it is new.
    private val clock = System.nanoTime()

    override fun toString() = "${(System.nanoTime() - clock) / 1e9} ${(processTime() - process) / 1e9}"

    private fun processTime() =
        (ManagementFactory.getOperatingSystemMXBean() as com.sun.management.OperatingSystemMXBean).processCpuTime
}

private fun read(line: String, flags: Set<String>, name: String): Pair<String, String?> {
    if ("--pairs" in flags) return pair(line, name)
    if ("--json" !in flags) return Pair(line, null)
    val text = Json.parse(line) as? String
        ?: throw KzooException("With --json each line is a JSON string, one was ${line.take(60)}.")
    return Pair(text, null)
}

private fun write(out: StringBuilder, encoding: Encoding, text: String, pair: String?) {
    val texts = arrayOf(text, pair ?: "")
    val starts = encoding.starts.copyOf()
    val ends = encoding.ends.copyOf()
    for ((number, each) in texts.withIndex()) {
        val pointStarts = codePointOffsets(each, encoding.starts)
        val pointEnds = codePointOffsets(each, encoding.ends)
        for (i in starts.indices) {
            if (encoding.sequenceIds[i] != number) continue
            starts[i] = pointStarts[i]
            ends[i] = pointEnds[i]
        }
    }
    Json.write(out, linkedMapOf(
        "ids" to encoding.ids,
        "tokens" to encoding.tokens,
        "offsets" to List(encoding.size) { listOf(starts[it], ends[it]) },
    ))
}
