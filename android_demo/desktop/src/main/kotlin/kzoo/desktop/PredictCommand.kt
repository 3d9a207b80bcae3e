package kzoo.desktop

import java.io.BufferedWriter
import java.io.File
import java.io.IOException
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.BundleFiles
import kzoo.core.bundle.Export
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.Sense
import kzoo.core.bundle.ZipFiles
import kzoo.core.json.Json
import kzoo.core.task.ArrayTask
import kzoo.core.task.BundleCheck
import kzoo.core.task.Opened
import kzoo.core.task.Task
import kzoo.core.task.TextTask
import kzoo.core.task.Towers

/** Opens what `kzoo export` wrote, a folder or a zip, with the engine of this machine. */
fun open(path: File, threads: Int = 1): Opened =
    Opened.of(Export.open(files(path), DesktopEngine.RUNTIME), DesktopPictures) { DesktopEngine(it.model(), it.name, threads) }

/** The same of one bundle. */
fun openTask(path: File, threads: Int = 1): Task = when (val opened = open(path, threads)) {
    is Task -> opened
    is Towers -> opened.use { throw KzooException("$path holds two towers, of pictures and of texts; expected one bundle: name one of the folders in it.") }
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
 * that reads pictures or sounds `predict BUNDLE FILE...`, or a path a line; of two towers with what
 * `kzoo predict` has for them, `--label TEXT` and `--search TEXT [--top N]`.
 */
fun predict(arguments: List<String>): Int {
    val given = Arguments.of(arguments, setOf("--pairs", "--pair", "--json"), setOf("--label", "--search", "--top")) { wrong ->
        KzooException(
            "predict takes a bundle, --pairs where each line is two texts, files where it reads pictures or sounds, and --label, --search " +
                "and --top where it holds two towers; $wrong came.",
        )
    }
    if (given.plain.isEmpty()) throw given.wrong("no path")
    val pairs = given.has("--pairs") || given.has("--pair")
    val files = given.plain.drop(1)
    open(existing(given.plain[0])).use { opened ->
        System.out.bufferedWriter(Charsets.UTF_8).use { out -> // Which keeps the answers before a bad line.
            val answers = when (opened) {
                is TextTask -> texts(opened.alone(given), files, pairs)
                is ArrayTask -> files(opened.alone(given), files, pairs)
                is Towers -> towers(opened, files, given)
            }
            for (answer in answers) out.writeLine(Json.write(answer))
        }
    }
    return 0
}

/** A task, which is no pair of towers: KzooException where options came that are for those. */
private fun <T : Task> T.alone(given: Arguments): T = also {
    val foreign = listOf("--label", "--search", "--top").firstOrNull(given::has) ?: return@also
    throw KzooException(
        "Got $foreign for ${bundle.name}; expected a bundle of pictures and texts, of an ImageTextEmbedder or ZeroShotImageClassifier: " +
            "leave it out.",
    )
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
    return all(paths, task.bundle).map { task.json(bytes(it), it.path) }
}

private fun towers(towers: Towers, paths: List<String>, given: Arguments): Sequence<Map<String, Any?>> {
    val pair = listOf("--pairs", "--pair").firstOrNull(given::has)
    if (pair != null) {
        throw KzooException("Got $pair for ${towers.together.name}, a bundle of pictures and texts; expected --label or --search: leave it out.")
    }
    val (query, labels) = given.last("--search") to given.all("--label")
    if (query != null && labels != null) throw KzooException("Got --search and --label; expected one of the two.")
    val top = given.count("--top") ?: Towers.TOP
    val pictures = all(paths, towers.image.bundle).map { towers.image.see(bytes(it), it.path) }
    (labels.orEmpty() + listOfNotNull(query)).forEach(::checkReadable)
    if (query == null) return towers.classify(pictures, labels).map { (seen, found) -> mapOf("image" to seen.name) + found.json() }
    return towers.search(query, pictures, top).asSequence().map { mapOf("index" to it.place, "score" to it.similarity, "image" to it.text) }
}

/** The files that paths name, or lines of standard input where none came; of a folder those in it that a bundle reads. */
private fun all(paths: List<String>, bundle: Bundle): Sequence<File> {
    val endings = ENDINGS.getValue(bundle.manifest.options.reads.sense)
    return (if (paths.isEmpty()) given("No path") else paths.asSequence()).flatMap { path ->
        val file = existing(path)
        if (!file.isDirectory) return@flatMap sequenceOf(file)
        val found = within(file).filter { it.extension.lowercase() in endings }
        if (found.isEmpty()) throw KzooException("$file holds no ${bundle.manifest.options.reads.sense.noun} (${endings.joinToString { ".$it" }}).")
        found.asSequence()
    }
}

/** The files of a folder and of those in it, by name; not what systems hide. */
private fun within(folder: File): List<File> {
    val shown = folder.listFiles().orEmpty().filter { !it.name.startsWith(".") && it.name.lowercase() !in HIDDEN }.sortedBy { it.name }
    return shown.flatMap { if (it.isDirectory) within(it) else listOf(it) }
}

private val HIDDEN = setOf("desktop.ini", "thumbs.db")

/** By what a bundle reads, the endings of files that are such in a folder, as Python has them; not all can be read here. */
private val ENDINGS = mapOf(
    Sense.IMAGE to listOf("jpg", "jpeg", "png", "gif", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "avif", "jp2", "ico"),
    Sense.SOUND to listOf("wav", "flac", "ogg", "oga", "opus", "mp3", "aiff", "aif", "au", "caf", "w64"),
)

/** The lines of standard input; `none` is what came where there are none. */
private fun given(none: String): Sequence<String> {
    val lines = lines(System.`in`).iterator()
    if (!lines.hasNext()) throw KzooException("$none came: lines on standard input are expected.")
    return lines.asSequence()
}

/** All of a file that a user named. */
private fun bytes(file: File): ByteArray {
    if (!file.isFile) throw KzooException("$file is not there; expected a file of a picture or a sound.")
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
        Export.open(files(path), Runtime(name, version)).close()
        return 0
    }
    open(path).use { opened ->
        for (task in opened.tasks) verify(task)
    }
    return 0
}

private fun verify(task: Task) {
    println("ok     ${task.bundle.manifest.files.size} files of ${task.bundle.name} as written")
    val found = BundleCheck.run(task, each = { result ->
        val text = result.golden.title.take(50)
        val verdict = result.reason ?: if (result.difference == 0.0) "equal" else "off by ${BundleCheck.percent(result.difference)}"
        println("${if (result.passed) "ok    " else "FAILED"} $text: $verdict")
    })
    val failed = found.count { !it.passed }
    if (failed > 0) throw KzooException("$failed of ${found.size} golden examples of ${task.bundle.name} fail on ${DesktopEngine.RUNTIME}.")
}

private fun BufferedWriter.writeLine(text: String) {
    write(text)
    write("\n")
}
