package kzoo.core.bundle

import java.io.Closeable
import java.io.OutputStream

/** What `kzoo export` wrote and was found as it was written: a bundle, or two as one. */
sealed interface Export : Closeable {
    val name: String

    /** Each bundle in it, that of pictures first where there are two. */
    val bundles: List<Bundle>

    /** How many bytes the files of all bundles have. */
    val bytes: Long

    /** Writes each file that was checked: what comes out is the same again. `target` is given its path. */
    fun copy(target: (String) -> OutputStream)

    companion object {
        /** Opens what lies there; `runtime` and what is checked as `Bundle.open` and `Together.open` have it. */
        fun open(files: BundleFiles, runtime: Runtime? = null): Export =
            if (isTogether(files)) Together.open(files, runtime) else Bundle.open(files, runtime)

        /** What each of its bundles says of itself; of the files only the manifests are looked at. */
        fun manifests(files: BundleFiles): List<Manifest> =
            (if (isTogether(files)) TOWERS.keys.map { files.within(it) } else listOf(files)).map(Bundle::manifest)

        private fun isTogether(files: BundleFiles) = TOGETHER in files.list()
    }
}
