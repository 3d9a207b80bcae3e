package kzoo.desktop

import java.io.BufferedWriter
import java.io.File
import java.io.IOException
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.BundleFiles
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.ZipFiles
import kzoo.core.json.Json
import kzoo.core.task.ArrayTask
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task
import kzoo.core.task.TextTask

/** Opens a bundle, a folder or a zip, with the engine of this machine. */
fun openTask(path: File, threads: Int = 1): Task {
    val bundle = Bundle.open(files(path), DesktopEngine.RUNTIME)
    return Task.of(bundle, DesktopEngine(bundle.model(), bundle.name, threads), DesktopPictures)
}

/**
 * The file or folder of an argument.
 *
 * Java decodes arguments by the locale. Under one that isn't UTF-8 a name in other letters comes as
 * another one, and nothing says so but that it is not there.
 */
internal fun existing(argument: String): File {
    val file = File(argument)
    if (!readsUnicode() && argument.any { it.code > 127 } && !file.exists()) {
        throw KzooException(
            "$argument is not there: Java reads names by the locale, whose ${encoding()} lacks some of these letters; " +
                "set LC_ALL=C.UTF-8, say, and run it again.",
        )
    }
    return file
}

/** Whether arguments came as they were typed, whatever letters they have. */
internal fun readsUnicode() = encoding().replace("-", "").equals("UTF8", ignoreCase = true)

private fun encoding() = System.getProperty("sun.jnu.encoding") ?: "UTF-8"

private fun files(path: File): BundleFiles = if (path.isFile) ZipFiles(path) else FolderFiles(path)

/**
 * `predict BUNDLE [--pairs]`: the lines of standard input, answered with one JSON object a line; of a bundle
 * that reads pictures or sounds `predict BUNDLE FILE...`, or a path a line.
 */
fun predict(arguments: List<String>): Int {
    val pairs = arguments.any { it == "--pairs" || it == "--pair" }
    val paths = arguments.filter { !it.startsWith("--") }
    val unknown = arguments.firstOrNull { it.startsWith("--") && it !in setOf("--pairs", "--pair", "--json") }
    if (unknown != null || paths.isEmpty()) {
        throw KzooException(
            "predict takes a bundle, --pairs where each line is two texts, and files where it reads pictures or sounds; " +
                "${unknown ?: "no path"} came.",
        )
    }
    openTask(existing(paths[0])).use { task ->
        System.out.bufferedWriter(Charsets.UTF_8).use { out -> // Which keeps the answers before a bad line.
            val files = paths.drop(1)
            val answers = when (task) {
                is TextTask -> texts(task, files, pairs)
                is ArrayTask -> files(task, files, pairs)
            }
            for (answer in answers) out.writeLine(Json.write(answer))
        }
    }
    return 0
}

private fun texts(task: TextTask, files: List<String>, pairs: Boolean): Sequence<Map<String, Any?>> {
    if (files.isNotEmpty()) throw KzooException("${task.bundle.name} reads texts, which are lines on standard input; ${files[0]} came.")
    return given("No text").mapIndexed { place, line ->
        val (text, second) = if (pairs) pair(line, "Line ${place + 1} of $STANDARD_INPUT") else line to null
        task.json(text, second)
    }
}

private fun files(task: ArrayTask, paths: List<String>, pairs: Boolean): Sequence<Map<String, Any?>> {
    if (pairs) throw KzooException("${task.bundle.name} reads no texts, and so no --pairs: leave it out.")
    val all = if (paths.isEmpty()) given("No path") else paths.asSequence()
    return all.map { path -> task.json(bytes(existing(path)), path) }
}

/** The lines of standard input; `none` is what came where there are none. */
private fun given(none: String): Sequence<String> {
    val lines = lines(System.`in`).iterator()
    if (!lines.hasNext()) throw KzooException("$none came: lines on standard input are expected.")
    return lines.asSequence()
}

/** All of a file that a user named. */
private fun bytes(file: File): ByteArray {
    if (!file.isFile) throw KzooException("$file ${if (file.isDirectory) "is a folder" else "is not there"}; expected a file of a picture or a sound.")
    if (file.length() > LARGEST) throw KzooException("$file has ${file.length()} bytes; expected at most $LARGEST: make it smaller.")
    return try {
        file.readBytes()
    } catch (error: IOException) {
        throw KzooException("$file can't be read: allow it.")
    }
}

private const val LARGEST = 1 shl 30

/**
 * `verify BUNDLE [--runtime tflite-2.16.1]`: its files are checked and its golden examples run
 * again, one line each; or only the files, and whether that runtime is new enough for them.
 */
fun verify(arguments: List<String>): Int {
    val asked = arguments.indexOf("--runtime").takeIf { it >= 0 }
    if (arguments.size != (if (asked == null) 1 else 3) || asked == 0) {
        throw KzooException("verify takes a bundle, and --runtime with a name such as tflite-2.16.1; ${arguments.size} arguments came.")
    }
    val path = existing(arguments[0])
    if (asked != null) {
        val (name, version) = (arguments[asked + 1] + "-").split('-')
        if (name !in Runtime.TITLES) throw KzooException("--runtime is ${arguments[asked + 1]}; tflite-2.16.1 or litert-1.4.2, say, is expected.")
        Bundle.open(files(path), Runtime(name, version)).close()
        return 0
    }
    openTask(path).use { task ->
        println("ok     ${task.bundle.manifest.files.size} files as written")
        val found = BundleCheck.run(task, each = { result ->
            val text = result.golden.title.take(50)
            val verdict = result.reason ?: if (result.difference == 0.0) "equal" else "off by ${BundleCheck.percent(result.difference)}"
            println("${if (result.passed) "ok    " else "FAILED"} $text: $verdict")
        })
        val failed = found.count { !it.passed }
        if (failed > 0) throw KzooException("$failed of ${found.size} golden examples of ${task.bundle.name} fail on ${DesktopEngine.RUNTIME}.")
    }
    return 0
}

private fun BufferedWriter.writeLine(text: String) {
    write(text)
    write("\n")
}
