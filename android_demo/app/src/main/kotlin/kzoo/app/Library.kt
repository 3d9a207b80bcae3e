package kzoo.app

import android.content.ContentResolver
import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.BundleFiles
import kzoo.core.bundle.BundleStore
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Reads
import kzoo.core.bundle.ZipFiles
import kzoo.core.task.Task

/** A bundle that can be chosen: packed into the app, or added by its user. */
class Source(
    val id: String,
    val title: String,
    val answers: Answers?,
    val reads: Reads,
    val folder: File?,
    private val files: () -> BundleFiles,
) {
    fun open(): BundleFiles = files()
}

/** The bundles that there are. */
class Library(private val context: Context, private val engines: Engines) {
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
        val manifest = files().use { Bundle.manifest(it) }
        Source(id, title, manifest.options.answers, manifest.options.reads, folder, files)
    } catch (error: KzooException) {
        null
    }

    /** Copies the zip that a user chose, after it was checked and its model was loaded once. */
    fun add(uri: Uri): Source {
        val resolver = context.contentResolver
        val name = displayName(resolver, uri)
        val copy = File(context.cacheDir, "opened.zip") // One at a time: what a killed process left is written over.
        try {
            copy(resolver, uri, copy)
            val folder = store.add(ZipFiles(copy, name), name, engines.runtime) { bundle ->
                Task.of(bundle, engines.open(bundle.model(), name)).close()
            }
            return added(folder) ?: throw KzooException(context.getString(R.string.file_gone))
        } finally {
            copy.delete()
        }
    }

    fun remove(source: Source) {
        source.folder?.let(store::remove)
    }

    private fun copy(resolver: ContentResolver, uri: Uri, target: File) {
        try {
            val stream = resolver.openInputStream(uri) ?: throw FileNotFoundException()
            stream.use { from -> target.outputStream().use { from.copyTo(it) } }
        } catch (error: FileNotFoundException) {
            throw KzooException(context.getString(R.string.file_gone))
        } catch (error: RuntimeException) { // No permission any more, or the provider's own failure.
            throw KzooException(context.getString(R.string.file_gone))
        } catch (error: IOException) {
            val full = context.cacheDir.usableSpace < FULL
            throw KzooException(context.getString(if (full) R.string.file_large else R.string.file_gone))
        }
    }

    private fun displayName(resolver: ContentResolver, uri: Uri): String {
        val found = try {
            resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
                if (it.moveToFirst()) it.getString(0) else null
            }
        } catch (error: RuntimeException) { // A provider's own failure: the name is not worth one.
            null
        }
        return found ?: uri.lastPathSegment?.substringAfterLast('/') ?: "bundle"
    }

    private companion object {
        const val FULL = 1L shl 20
    }
}
