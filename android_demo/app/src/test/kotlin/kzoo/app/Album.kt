package kzoo.app

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import java.io.File

/** Another app that holds a folder of files, as a file manager does; ids are paths within the folder. */
class Album : ContentProvider() {
    override fun onCreate() = true

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor {
        val asked = file(uri)
        val children = if (uri.lastPathSegment == "children") asked.listFiles() ?: throw SecurityException("no folder $asked") else arrayOf(asked)
        return MatrixCursor(columns!!).apply {
            for (child in children) addRow(columns.map { if (it == Document.COLUMN_DOCUMENT_ID) child.relativeTo(root).path else if (it == Document.COLUMN_MIME_TYPE) type(child) else child.name })
        }
    }

    private fun file(uri: Uri) = File(root, DocumentsContract.getDocumentId(uri))

    private fun type(file: File) = when {
        file.isDirectory -> Document.MIME_TYPE_DIR
        file.extension == "png" -> "image/png"
        else -> "text/plain"
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor = ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.parseMode(mode))

    override fun getType(uri: Uri) = type(file(uri))

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?) = 0

    override fun delete(uri: Uri, where: String?, arguments: Array<String>?) = 0

    companion object {
        lateinit var root: File
    }
}
