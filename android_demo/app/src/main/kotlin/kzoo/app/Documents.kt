package kzoo.app

import android.content.ContentResolver
import android.content.Context
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import kzoo.core.KzooException

/** Files that a user has chosen, which other apps may hold. */
class Documents(private val context: Context) {
    private val resolver: ContentResolver get() = context.contentResolver

    /** What a user calls a file, or null where nobody says so. */
    fun name(uri: Uri): String? {
        val found = try {
            resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
                if (it.moveToFirst()) it.getString(0) else null
            }
        } catch (error: RuntimeException) { // A provider's own failure: the name is not worth one.
            null
        }
        return found ?: uri.lastPathSegment?.substringAfterLast('/')
    }

    /** All of a file; KzooException where it can't be read. */
    fun bytes(uri: Uri): ByteArray = open(uri) { it.readBytes() } ?: throw gone()

    /** Copies a file; KzooException where it can't be read, or not be written. */
    fun copy(uri: Uri, target: File) {
        open(uri) { from -> target.outputStream().use { from.copyTo(it) } } ?: run {
            val full = context.cacheDir.usableSpace < FULL
            throw if (full) KzooException(context.getString(R.string.file_large)) else gone()
        }
    }

    /**
     * The pictures in a folder that a user chose, and in the folders within it, by name; so many at most. KzooException
     * where it can't be read.
     */
    fun pictures(folder: Uri, most: Int): List<Uri> = try {
        ArrayList<Uri>().also { collect(folder, DocumentsContract.getTreeDocumentId(folder), most, it) }
    } catch (error: RuntimeException) {
        throw gone()
    }

    private fun collect(folder: Uri, id: String, most: Int, found: MutableList<Uri>) {
        val rows = ArrayList<Triple<String, String, String>>() // Name, id, type.
        resolver.query(DocumentsContract.buildChildDocumentsUriUsingTree(folder, id), COLUMNS, null, null, null)?.use {
            while (it.moveToNext()) rows.add(Triple(it.getString(0).orEmpty(), it.getString(1), it.getString(2).orEmpty()))
        }
        for ((name, child, type) in rows.sortedBy { it.first }) {
            if (found.size >= most) return
            when {
                name.startsWith(".") -> Unit // Thumbnails, and what else is hidden.
                type == DocumentsContract.Document.MIME_TYPE_DIR -> collect(folder, child, most, found)
                type.startsWith("image/") -> found.add(DocumentsContract.buildDocumentUriUsingTree(folder, child))
            }
        }
    }

    /** Null where reading fails on the way. */
    private fun <T> open(uri: Uri, read: (InputStream) -> T): T? = try {
        (resolver.openInputStream(uri) ?: throw FileNotFoundException()).use(read)
    } catch (error: FileNotFoundException) {
        throw gone()
    } catch (error: RuntimeException) { // No permission any more, or the provider's own failure.
        throw gone()
    } catch (error: IOException) {
        null
    }

    private fun gone() = KzooException(context.getString(R.string.file_gone))

    private companion object {
        const val FULL = 1L shl 20
        val COLUMNS = arrayOf(
            DocumentsContract.Document.COLUMN_DISPLAY_NAME, DocumentsContract.Document.COLUMN_DOCUMENT_ID,
            DocumentsContract.Document.COLUMN_MIME_TYPE,
        )
    }
}
