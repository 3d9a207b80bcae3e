package kzoo.desktop

import java.io.BufferedWriter
import java.io.File
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.BundleFiles
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.ZipFiles
import kzoo.core.json.Json
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task

/** Opens a bundle, a folder or a zip, with the engine of this machine. */
fun openTask(path: File, threads: Int = 1): Task {
    val bundle = Bundle.open(files(path), DesktopEngine.RUNTIME)
    return Task.of(bundle, DesktopEngine(bundle.model(), bundle.name, threads))
}

private fun files(path: File): BundleFiles = if (path.isFile) ZipFiles(path) else FolderFiles(path)

/** `predict BUNDLE [--pairs]`: the lines of standard input, answered with one JSON object a line. */
fun predict(arguments: List<String>): Int {
    val pairs = arguments.any { it == "--pairs" || it == "--pair" }
    val paths = arguments.filter { !it.startsWith("--") }
    val unknown = arguments.firstOrNull { it.startsWith("--") && it != "--pairs" && it != "--pair" }
    if (unknown != null || paths.size != 1) {
        throw KzooException("predict takes a bundle, and --pairs where each line is two texts; ${unknown ?: "${paths.size} paths"} came.")
    }
    val texts = withoutBlankEnd(lines(System.`in`)).iterator()
    if (!texts.hasNext()) throw KzooException("No text came: lines on standard input are expected.")
    openTask(File(paths[0])).use { task ->
        System.out.bufferedWriter(Charsets.UTF_8).use { out -> // Which keeps the answers before a bad line.
            for (line in texts) {
                val (text, second) = if (pairs) pair(line) else line to null
                out.writeLine(Json.write(task.json(text, second)))
            }
        }
    }
    return 0
}

/**
 * `verify BUNDLE [--runtime tflite-2.16.1]`: its files are checked and its golden examples run
 * again, one line each; or only the files, and whether that runtime is new enough for them.
 */
fun verify(arguments: List<String>): Int {
    val asked = arguments.indexOf("--runtime").takeIf { it >= 0 }
    if (arguments.size != (if (asked == null) 1 else 3) || asked == 0) {
        throw KzooException("verify takes a bundle, and --runtime with a name such as tflite-2.16.1; ${arguments.size} arguments came.")
    }
    val path = File(arguments[0])
    if (asked != null) {
        val (name, version) = (arguments[asked + 1] + "-").split('-')
        if (name !in Runtime.TITLES) throw KzooException("--runtime is ${arguments[asked + 1]}; tflite-2.16.1 or litert-1.4.2, say, is expected.")
        Bundle.open(files(path), Runtime(name, version)).close()
        return 0
    }
    openTask(path).use { task ->
        println("ok     ${task.bundle.manifest.files.size} files as written")
        val found = BundleCheck.run(task, each = { result ->
            val text = listOfNotNull(result.golden.text, result.golden.pair).joinToString(" | ").take(50)
            val verdict = result.reason ?: if (result.difference == 0.0) "equal" else "off by ${BundleCheck.percent(result.difference)}"
            println("${if (result.passed) "ok    " else "FAILED"} $text: $verdict")
        })
        val failed = found.count { !it.passed }
        if (failed > 0) throw KzooException("$failed of ${found.size} golden examples of ${task.bundle.name} fail on ${DesktopEngine.RUNTIME}.")
    }
    return 0
}

/** An empty line is a text too, except at the end. */
private fun withoutBlankEnd(lines: Sequence<String>): Sequence<String> = sequence {
    val blank = ArrayList<String>()
    for (line in lines) {
        if (line.isBlank()) {
            blank.add(line)
        } else {
            yieldAll(blank)
            blank.clear()
            yield(line)
        }
    }
}

/** Two texts from a line: a JSON array of two strings, or a tab between them. */
private fun pair(line: String): Pair<String, String> {
    if (line.startsWith("[")) {
        val both = try {
            Json.parse(line.reader()) as? List<*>
        } catch (error: KzooException) {
            null
        }
        if (both != null && both.size == 2) {
            val (first, second) = both
            if (first is String && second is String) return first to second
        }
    }
    val tab = line.indexOf('\t')
    if (tab < 0) {
        throw KzooException("--pairs expects two texts with a tab between them, or a JSON array of two strings; ${line.take(60)} came.")
    }
    return line.substring(0, tab) to line.substring(tab + 1)
}

private fun BufferedWriter.writeLine(text: String) {
    write(text)
    write("\n")
}
