package kzoo.app

import android.content.res.AssetManager
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import kzoo.core.bundle.BundleFiles

/** A bundle in a folder of the app's assets. */
class AssetFiles(private val assets: AssetManager, private val folder: String) : BundleFiles {
    override val name: String get() = folder.substringAfterLast('/')

    override fun list(folder: String): List<String> {
        val listed = assets.list(if (folder == "") this.folder else "${this.folder}/$folder").orEmpty()
        return listed.map { it.substringBefore('/') }.distinct().sorted() // A platform may list the files within, too.
    }

    override fun open(file: String): InputStream = assets.open("$folder/$file", AssetManager.ACCESS_STREAMING)

    /** Mapped where the asset lies uncompressed in the APK, which the build asks for. */
    override fun map(file: String): ByteBuffer {
        val descriptor = try {
            assets.openFd("$folder/$file")
        } catch (error: IOException) {
            return super.map(file)
        }
        return descriptor.use {
            FileInputStream(it.fileDescriptor).channel.use { channel ->
                channel.map(FileChannel.MapMode.READ_ONLY, it.startOffset, it.declaredLength)
                    .order(ByteOrder.nativeOrder())
            }
        }
    }
}
