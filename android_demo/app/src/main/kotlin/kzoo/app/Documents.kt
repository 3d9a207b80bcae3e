package kzoo.app

import android.content.ContentResolver
import android.content.Context
import android.net.Uri
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
    }
}
