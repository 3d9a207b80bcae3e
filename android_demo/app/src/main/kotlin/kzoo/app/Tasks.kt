package kzoo.app

import kzoo.core.bundle.Export
import kzoo.core.task.Opened

/** Bundles that are loaded: the two asked for last. For the worker's thread alone. */
class Tasks(private val engines: Engines) {
    private val open = LinkedHashMap<String, Opened>(4, 0.75f, true)

    fun get(source: Source): Opened {
        open[source.id]?.let { return it }
        while (open.size >= MOST) close(open.keys.first())
        val task = try {
            load(source)
        } catch (error: OutOfMemoryError) { // It may fit without the other.
            if (open.isEmpty()) throw error
            closeAll()
            load(source)
        }
        open[source.id] = task
        return task
    }

    private fun load(source: Source): Opened =
        Opened.of(Export.open(source.open(), engines.runtime), DevicePictures) { engines.open(it) }

    fun close(id: String) {
        open.remove(id)?.close()
    }

    fun closeAll() {
        for (id in open.keys.toList()) close(id)
    }

    private companion object {
        const val MOST = 2
    }
}
