package kzoo.core.bundle

import java.io.ByteArrayOutputStream
import java.io.Closeable
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile
import kzoo.core.KzooException

/** Where the files of a bundle lie: a folder, a zip, the assets of an app. */
interface BundleFiles : Closeable {
    /** What the place is called in an error. */
    val name: String

    /** The names of all files and folders in it, or in a folder of it, sorted. */
    fun list(folder: String = ""): List<String>

    /** A file's bytes, or those of "folder/file"; IOException where it can't be read. */
    fun open(file: String): InputStream

    /** A file as a direct buffer; places that can map it into memory do so. */
    fun map(file: String): ByteBuffer {
        val bytes = open(file).use { it.readBytes() }
        val buffer = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder())
        buffer.put(bytes)
        (buffer as Buffer).rewind() // ByteBuffer has a rewind of its own on the JDK, not on API 26.
        return buffer
    }

    override fun close() {}
}

/** The files of a folder in it: those of a bundle that is a part of another. They are closed with the whole. */
internal fun BundleFiles.within(folder: String): BundleFiles = Within(this, folder)

private class Within(private val whole: BundleFiles, private val folder: String) : BundleFiles {
    override val name: String get() = "${whole.name}/$folder"

    override fun list(folder: String) = whole.list(path(folder))

    override fun open(file: String) = whole.open(path(file))

    override fun map(file: String) = whole.map(path(file))

    private fun path(file: String) = if (file == "") folder else "$folder/$file"
}

/** What `read` makes of a file, which is to be there; KzooException where it isn't, or can't be read. */
internal fun <T> BundleFiles.reading(file: String, read: () -> T): T = try {
    if (file !in list()) throw KzooException("$name/$file is missing from the bundle: export anew.")
    read()
} catch (error: IOException) {
    throw KzooException("$name/$file can't be read, it may be damaged: export or copy it anew.")
}

/** All of a small file; KzooException where it has more than a small one may. */
internal fun BundleFiles.small(file: String): ByteArray {
    val bytes = ByteArrayOutputStream()
    reading(file) { open(file).use { pump(it, LARGEST_SMALL) { part, count -> bytes.write(part, 0, count) } } }
    if (bytes.size() > LARGEST_SMALL) throw KzooException("$name/$file is too large for what it is: export anew.")
    return bytes.toByteArray()
}

internal const val LARGEST_SMALL = 64L shl 20

/**
 * Gives a stream's bytes away and says how many they were. One that grew, or unpacks without
 * end, is left once it has more than `most`.
 */
internal inline fun pump(stream: InputStream, most: Long, give: (ByteArray, Int) -> Unit): Long {
    val buffer = ByteArray(1 shl 16)
    var size = 0L
    while (size <= most) {
        val count = stream.read(buffer)
        if (count < 0) break
        give(buffer, count)
        size += count
    }
    return size
}

/**
 * Whether macOS put a file there, which is no part of a bundle, in a folder or in a zip: what Finder
 * keeps of a folder, and what goes with a file where a disk or a zip can't hold it.
 */
internal fun isOfFinder(path: String): Boolean {
    val parts = path.split('/')
    return parts.any { it == "__MACOSX" } || parts.last().let { it == ".DS_Store" || it.startsWith("._") }
}

/** The files of a folder. */
class FolderFiles(private val folder: File) : BundleFiles {
    override val name: String get() = folder.path

    init {
        if (!folder.isDirectory) {
            throw KzooException("$folder is no folder: a bundle that `kzoo export` wrote is expected.")
        }
    }

    override fun list(folder: String): List<String> {
        val asked = File(this.folder, folder)
        val found = asked.list() ?: throw KzooException("The folder $asked can't be read: allow it.")
        return found.filterNot(::isOfFinder).sorted()
    }

    override fun open(file: String): InputStream = FileInputStream(File(folder, file))

    override fun map(file: String): ByteBuffer =
        FileInputStream(File(folder, file)).channel.use { channel ->
            channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.nativeOrder())
        }
}

/**
 * The files of a zip, which lie at its top or in one folder of it; of two towers, in their folders too. A member
 * anywhere else, which unpacking would write somewhere else, makes the zip unreadable as a whole.
 */
class ZipFiles(file: File, override val name: String = file.path) : BundleFiles {
    private val zip: ZipFile
    private val entries: Map<String, ZipEntry>

    init {
        zip = try {
            ZipFile(file)
        } catch (error: ZipException) {
            throw KzooException("$name is no zip, or a damaged one: the zip of a bundle is expected.")
        } catch (error: IOException) {
            throw KzooException("$name can't be read: the zip of a bundle is expected.")
        }
        try {
            entries = index()
        } catch (error: KzooException) {
            zip.close()
            throw error
        }
    }

    private fun index(): Map<String, ZipEntry> {
        val members = try {
            zip.entries().asSequence().filter { !it.isDirectory && !isOfFinder(it.name) }.toList()
        } catch (error: RuntimeException) { // Names that are no UTF-8.
            throw KzooException("$name is a damaged zip: the zip of a bundle is expected.")
        }
        fun beside(file: String) = members.map { it.name }.firstOrNull { it.substringAfter('/') == file }?.removeSuffix(file)
        val together = beside(TOGETHER)
        val folder = together ?: beside(MANIFEST) ?: throw KzooException(
            "$name holds no $MANIFEST at its top or in a folder: the zip of a bundle is expected.",
        )
        if (folder != "" && !isPlain(folder.removeSuffix("/"))) {
            throw KzooException("$name holds ${folder}${if (together == null) MANIFEST else TOGETHER} outside of the bundle: zip its folder anew.")
        }
        val folders = if (together == null) emptySet() else TOWERS.keys
        val found = LinkedHashMap<String, ZipEntry>()
        for (member in members) {
            val plain = member.name.removePrefix(folder)
            val file = plain.substringAfter('/').takeIf { plain.substringBefore('/', "") in folders } ?: plain
            if (!member.name.startsWith(folder) || !isPlain(file)) {
                throw KzooException("$name holds ${member.name} outside of the bundle: zip its folder anew.")
            }
            if (found.put(plain, member) != null) {
                throw KzooException("$name holds $plain twice: zip the bundle's folder anew.")
            }
        }
        return found
    }

    /** Whether a name is that of a file or folder right here: nothing that leads elsewhere, on no system. */
    private fun isPlain(name: String) = name.isNotEmpty() && name != ".." &&
        name.none { it == '/' || it == '\\' || it == '\u0000' } && !DRIVE.containsMatchIn(name)

    override fun list(folder: String): List<String> {
        val start = if (folder == "") "" else "$folder/"
        return entries.keys.filter { it.startsWith(start) }.map { it.removePrefix(start).substringBefore('/') }.distinct().sorted()
    }

    override fun open(file: String): InputStream {
        val entry = entries[file] ?: throw IOException("$file is not in $name")
        return zip.getInputStream(entry)
    }

    override fun close() = zip.close()

    private companion object {
        /** Of Windows: "C:evil" lies in another folder than this. */
        val DRIVE = Regex("^[A-Za-z]:")
    }
}
