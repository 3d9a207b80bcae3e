package kzoo.app

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File

/** The one file that the camera's app may write, and only while this app lets it. */
class TakenPicture : ContentProvider() {
    override fun onCreate() = true

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor =
        ParcelFileDescriptor.open(file(context!!), ParcelFileDescriptor.parseMode(mode))

    override fun getType(uri: Uri) = "image/jpeg"

    override fun query(
        uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?,
    ): Cursor = MatrixCursor(arrayOf(OpenableColumns.DISPLAY_NAME)).apply { addRow(arrayOf(NAME)) }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?) = 0

    override fun delete(uri: Uri, where: String?, arguments: Array<String>?) = 0

    companion object {
        private const val NAME = "taken.jpg"

        fun file(context: Context) = File(context.cacheDir, NAME)

        fun uri(context: Context): Uri = Uri.parse("content://${context.packageName}.taken/$NAME")
    }
}
