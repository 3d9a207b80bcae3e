package kzoo.core.bundle

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

    /** The names of all files, sorted. */
    fun list(): List<String>

    /** A file's bytes; IOException where it can't be read. */
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

    override fun list(): List<String> {
        val found = folder.list() ?: throw KzooException("The folder $folder can't be read: allow it.")
        return found.filterNot(::isOfFinder).sorted()
    }

    override fun open(file: String): InputStream = FileInputStream(File(folder, file))

    override fun map(file: String): ByteBuffer =
        FileInputStream(File(folder, file)).channel.use { channel ->
            channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.nativeOrder())
        }
}

/**
 * The files of a zip, which lie at its top or in one folder of it. A member anywhere else, which
 * unpacking would write somewhere else, makes the zip unreadable as a whole.
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
        val manifest = members.map { it.name }.firstOrNull { it.substringAfter('/') == MANIFEST }
            ?: throw KzooException(
                "$name holds no $MANIFEST at its top or in a folder: the zip of a bundle is expected.",
            )
        val folder = manifest.removeSuffix(MANIFEST)
        if (folder != "" && !isPlain(folder.removeSuffix("/"))) {
            throw KzooException("$name holds $manifest outside of the bundle: zip its folder anew.")
        }
        val found = LinkedHashMap<String, ZipEntry>()
        for (member in members) {
            val plain = member.name.removePrefix(folder)
            if (!member.name.startsWith(folder) || !isPlain(plain)) {
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

    override fun list(): List<String> = entries.keys.sorted()

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
