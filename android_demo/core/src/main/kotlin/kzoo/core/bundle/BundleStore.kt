package kzoo.core.bundle

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import kzoo.core.KzooException

/** Bundles that a user has added: folders that are there whole or not at all. */
class BundleStore(private val folder: File) {
    /** The folders of all bundles, by name. */
    fun list(): List<File> =
        folder.listFiles { file -> file.isDirectory && !file.name.startsWith(".") }.orEmpty().sortedBy { it.name }

    /**
     * Copies a bundle into the store, after all its files were found as they were written.
     *
     * `name` is what it shall be called; a number is added where the name is taken by another.
     * `accept` looks at the copy before it counts, and throws where it is of no use.
     */
    @Synchronized
    fun add(files: BundleFiles, name: String, runtime: Runtime?, accept: (Export) -> Unit = {}): File =
        Export.open(files, runtime).use { bundle ->
            clean()
            val beside = File(folder, ".${System.nanoTime()}")
            try {
                if (!beside.mkdirs()) throw IOException("no folder $beside")
                bundle.copy { file -> Synced(File(beside, file).apply { parentFile.mkdirs() }) }
                Export.open(FolderFiles(beside), runtime).use(accept)
                val target = free(plain(name))
                if (!beside.renameTo(target)) throw IOException("no folder $target")
                target
            } catch (error: IOException) {
                throw KzooException("$name could not be kept: make room for ${bundle.bytes / 1_000_000 + 1} MB.")
            } finally {
                beside.deleteRecursively()
            }
        }

    /** On the disk before it counts as closed. */
    private class Synced(file: File) : FileOutputStream(file) {
        override fun close() {
            if (channel.isOpen) fd.sync()
            super.close()
        }
    }

    /** Removes a bundle. */
    fun remove(bundle: File) {
        val gone = File(folder, ".${System.nanoTime()}")
        if (bundle.parentFile == folder && bundle.renameTo(gone)) gone.deleteRecursively()
    }

    /** What a copy that was cut off has left. */
    private fun clean() {
        folder.listFiles { file -> file.name.startsWith(".") }.orEmpty().forEach { it.deleteRecursively() }
    }

    private fun plain(name: String): String {
        val kept = name.substringAfterLast('/').removeSuffix(".zip").map { if (it.isLetterOrDigit() || it in "-_. ") it else '_' }
        return kept.joinToString("").trim('.', ' ').take(60).ifEmpty { "bundle" }
    }

    private fun free(name: String): File =
        generateSequence(1) { it + 1 }.map { File(folder, if (it == 1) name else "$name $it") }.first { !it.exists() }
}
