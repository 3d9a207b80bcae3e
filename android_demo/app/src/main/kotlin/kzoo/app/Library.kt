package kzoo.app

import android.content.Context
import android.net.Uri
import java.io.File
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.BundleFiles
import kzoo.core.bundle.BundleStore
import kzoo.core.bundle.Export
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Reads
import kzoo.core.bundle.SourceOptions
import kzoo.core.bundle.ZipFiles
import kzoo.core.task.Opened

/**
 * A bundle that can be chosen: packed into the app, or added by its user. Of two towers that of pictures says what
 * it answers and reads, and `alsoReads` is what the other does; `sources` is how one writes that writes of them.
 */
class Source(
    val id: String,
    val title: String,
    val answers: Answers?,
    val reads: Reads,
    val alsoReads: Reads?,
    val sources: SourceOptions?,
    val folder: File?,
    private val files: () -> BundleFiles,
) {
    fun open(): BundleFiles = files()
}

/** The bundles that there are. */
class Library(private val context: Context, private val engines: Engines, private val documents: Documents) {
    private val store = BundleStore(File(context.filesDir, "bundles"))

    /** All that can be read, those packed first. What can't be read is left out here: it has no task. */
    fun all(): List<Source> = packed() + store.list().mapNotNull { folder ->
        added(folder)
    }

    private fun added(folder: File) = source("added/${folder.name}", folder.name, folder) { Added(folder) }

    /** A user knows the bundle by its name, not by where the app keeps it. */
    private class Added(folder: File) : BundleFiles by FolderFiles(folder) {
        override val name: String = folder.name
    }

    private fun packed(): List<Source> {
        val listed = context.assets.list("bundles").orEmpty() // A platform may list the files within, too.
        return listed.map { it.substringBefore('/') }.distinct().sorted().mapNotNull { name ->
            source("packed/$name", name, null) { AssetFiles(context.assets, "bundles/$name") }
        }
    }

    private fun source(id: String, title: String, folder: File?, files: () -> BundleFiles): Source? = try {
        val said = files().use { Export.manifests(it) }.map { it.options }
        Source(id, title, said[0].answers, said[0].reads, said.getOrNull(1)?.reads, said[0].sources, folder, files)
    } catch (error: KzooException) {
        null
    }

    /** Copies the zip that a user chose, after it was checked and its model was loaded once. */
    fun add(uri: Uri): Source {
        val name = documents.name(uri) ?: "bundle"
        val copy = File(context.cacheDir, "opened.zip") // One at a time: what a killed process left is written over.
        try {
            documents.copy(uri, copy)
            val folder = store.add(ZipFiles(copy, name), name, engines.runtime) { export ->
                Opened.of(export, DevicePictures) { engines.open(it.model(), name) }.close()
            }
            return added(folder) ?: throw KzooException(context.getString(R.string.file_gone))
        } finally {
            copy.delete()
        }
    }

    fun remove(source: Source) {
        source.folder?.let(store::remove)
    }
}
